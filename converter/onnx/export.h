// A Graph as an ONNX file: what the operator exporters share.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include <onnx/onnx_pb.h>

#include "engine/graph/graph.h"

namespace konv::converter {

/// Nodes of the file under construction. Methods throw konv::Error naming the graph's node.
class OnnxWriter {
 public:
  OnnxWriter(const Graph& graph, onnx::GraphProto& proto) : graph_(graph), proto_(proto) {}

  const Graph& graph() const { return graph_; }
  /// The file is written for this opset at least.
  void need_opset(std::int64_t opset) { opset_ = std::max(opset_, opset); }
  std::int64_t opset() const { return opset_; }

  /// Starts the node of the graph whose ONNX nodes follow; `result` is the name its value gets.
  void begin(const Node& node, std::string result);
  const Node& node() const { return *node_; }
  const std::string& result() const { return result_; }

  /// The node's input as ONNX knows it, "" for an absent one.
  std::string input(int i) const;
  /// From here to the next begin(), input `i` is called so.
  void rename_input(int i, std::string name) { renamed_[i] = std::move(name); }
  /// A name for something in between: "<node>.<suffix>", made unique.
  std::string fresh(const std::string& suffix) { return unique(node_->name + "." + suffix); }
  /// `wanted`, or the same with a number where a value of the graph or an earlier one is called so.
  std::string unique(const std::string& wanted);
  /// Appends a node; its name is the graph's where it writes the result, else one made from its first output.
  onnx::NodeProto& add(const char* op, std::vector<std::string> inputs, std::vector<std::string> outputs);
  /// The same with one fresh output, which is returned.
  std::string emit(const char* op, std::vector<std::string> inputs, const std::string& suffix);
  std::string constant(const std::string& suffix, const Tensor& tensor);
  std::string constant(const std::string& suffix, const Ints& values);
  std::string constant(const std::string& suffix, float value);
  void initializer(const std::string& name, const Tensor& tensor);

  /// Applies the activation on the way to the result: the name that the operator in front has to write, and `finish_activation` behind it.
  std::string before(const Activation& activation);
  void finish(const Activation& activation, const std::string& from);

  [[noreturn]] void fail(const std::string& fact, const std::string& expected) const;

 private:
  const Graph& graph_;
  onnx::GraphProto& proto_;
  const Node* node_ = nullptr;
  std::string result_;
  std::map<int, std::string> renamed_;
  std::set<std::string> made_;
  std::int64_t opset_ = 18;
};

void set(onnx::NodeProto& node, const char* attribute, std::int64_t value);
void set(onnx::NodeProto& node, const char* attribute, float value);
void set(onnx::NodeProto& node, const char* attribute, const char* value);
void set(onnx::NodeProto& node, const char* attribute, const Ints& values);

/// The number of an element type in TensorProto.DataType.
std::int32_t onnx_type(DType dtype);

/// The ONNX nodes of the writer's current node.
void export_node(OnnxWriter& writer);

}  // namespace konv::converter
