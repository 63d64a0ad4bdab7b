// One node of an ONNX file, on its way into a Graph: what the operator importers ask and answer.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <onnx/onnx_pb.h>

#include "converter/onnx/tensor.h"
#include "engine/graph/infer.h"

namespace konv::converter {

/// What all nodes of one import share.
struct Import {
  Graph graph;
  std::int64_t opset = 0;
  TensorReader tensors;
  std::unordered_map<std::string, ValueId> values;  ///< by ONNX name
  std::unordered_set<std::string> read_names;       ///< values that some node or the graph's outputs read
  std::vector<std::string> problems;                ///< unknown attributes, thrown all together at the end
  std::vector<Fact> facts;                          ///< of the values there are, as extend() knows them
};

/// Methods throw konv::Error naming the node. Attributes nobody asked for are reported by check_attributes().
class NodeReader {
 public:
  NodeReader(Import& import, const onnx::NodeProto& proto);

  std::int64_t opset() const { return import_.opset; }
  Graph& graph() { return import_.graph; }
  const std::string& name() const { return name_; }

  // Attributes.
  std::int64_t integer(const char* attribute, std::int64_t fallback);
  bool flag(const char* attribute, bool fallback) { return integer(attribute, fallback ? 1 : 0) != 0; }
  float real(const char* attribute, float fallback);
  std::string text(const char* attribute, const char* fallback);
  std::optional<Ints> integers(const char* attribute);
  std::optional<std::vector<float>> reals(const char* attribute);
  const onnx::AttributeProto* attribute(const char* name);
  /// Known, and without influence on the result.
  void ignore(const char* attribute) { asked_.insert(attribute); }
  Tensor tensor(const onnx::TensorProto& proto);
  Tensor tensor(const onnx::SparseTensorProto& proto);

  // Inputs.
  int input_count() const { return proto_.input_size(); }
  bool has(int input) const { return input < proto_.input_size() && !proto_.input(input).empty(); }
  ValueId input(int i, const char* what);  ///< must be there
  ValueId optional_input(int i, const char* what) { return has(i) ? input(i, what) : ValueId{}; }
  /// The elements of a constant input.
  Ints constant_integers(int i, const char* what);
  float constant_real(int i, const char* what);
  /// The input as int64: int32 constants are widened, int32 values get a Cast.
  ValueId int64_input(int i, const char* what);
  /// A new constant named "<node>.<what>".
  ValueId constant(const char* what, const Ints& values);
  ValueId constant(const char* what, Tensor tensor);
  /// What shape inference knows about a value so far.
  const Fact& fact(ValueId value);
  DType dtype(ValueId value) { return fact(value).dtype; }
  std::int64_t rank(ValueId value, const char* what);

  // The result.
  int output_count() const { return proto_.output_size(); }
  bool output_read(int output) const;
  /// Fails when somebody reads an output behind the first.
  void only_first_output(const char* others);
  ValueId emit(const char* suffix, Op op, std::vector<ValueId> inputs);  ///< a helper node in front of the result
  void finish(Op op, std::vector<ValueId> inputs) { finish_output(0, std::move(op), std::move(inputs)); }
  /// The node behind output `i`, which must be there; those behind the first are named after it.
  void finish_output(int i, Op op, std::vector<ValueId> inputs);
  void finish_constant(Tensor tensor);

  [[noreturn]] void fail(const std::string& fact) const;
  void check_attributes() const;

 private:
  const Tensor& constant_tensor(int i, const char* what);
  const onnx::AttributeProto* typed(const char* attribute, onnx::AttributeProto::AttributeType type, const char* what);
  std::string where() const;

  Import& import_;
  const onnx::NodeProto& proto_;
  std::string name_;
  std::set<std::string, std::less<>> asked_;
};

/// "node 'conv1'" or, for nodes without a name, the name they get: operator and output.
std::string node_name(const onnx::NodeProto& proto);

}  // namespace konv::converter
