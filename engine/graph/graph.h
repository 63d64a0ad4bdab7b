// A network as data: values (tensors to be) and nodes (operators) between them.
//
// Values and nodes are named by ids that stay the same while the graph is edited; removed nodes leave a hole. nodes() lists the living ones
// in an order in which every value is produced before it is read. Copying a graph is cheap: constants share their bytes.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/ops.h"
#include "engine/graph/shape.h"
#include "engine/graph/tensor.h"

namespace konv {

/// Index of a value; an absent optional input is ValueId{}.
struct ValueId {
  std::int32_t index = -1;
  explicit operator bool() const { return index >= 0; }
  friend auto operator<=>(const ValueId&, const ValueId&) = default;
};

struct NodeId {
  std::int32_t index = -1;
  explicit operator bool() const { return index >= 0; }
  friend auto operator<=>(const NodeId&, const NodeId&) = default;
};

/// How integers stand for real numbers: real = scale (stored - zero_point), per tensor (one entry) or along `axis`.
struct Quantization {
  std::vector<float> scale;
  std::vector<std::int32_t> zero_point;
  std::int32_t axis = 0;
};

/// A weight whose K rows (im2col rows: input channel, tap) were pruned: stored compact as [Cout, Kkept].
struct KeptRows {
  std::vector<std::int32_t> rows;  ///< rising, in the order (channel, tap row, tap column)
  std::int32_t granularity = 1;    ///< input channels that left together per tap
  Dims dense_dims;                 ///< the weight's shape before pruning
};

struct Value {
  std::string name;
  DType dtype = DType::float32;
  std::optional<Shape> shape;      ///< absent: not inferred yet
  std::optional<Tensor> constant;  ///< a weight or another literal
  std::optional<Quantization> quantization;
  std::optional<KeptRows> kept_rows;
};

struct Node {
  std::string name;
  Op op;
  std::vector<ValueId> inputs;  ///< optional inputs that are absent in the middle are ValueId{}
  std::vector<ValueId> outputs;

  ValueId input(int i) const { return i < static_cast<int>(inputs.size()) ? inputs[static_cast<std::size_t>(i)] : ValueId{}; }
  ValueId output() const { return outputs.front(); }
};

/// From 8-bit pixels to the input tensor: x = (pixel * scale - mean[c]) / std[c].
struct Preprocessing {
  std::int32_t width = 0, height = 0;  ///< 0: the input's own size
  float scale = 1.0f / 255.0f;
  std::vector<float> mean, std;  ///< per channel; empty: zeros, ones
  bool bgr = false;              ///< channel order of the tensor
};

struct Metadata {
  std::optional<Preprocessing> preprocessing;
  std::vector<std::string> labels;
  std::string source;                          ///< what the converter read, e.g. "resnet20.th (PyTorch checkpoint, resnet20)"
  std::vector<std::string> passes;             ///< applied, in order
  std::map<std::string, std::string> entries;  ///< how the model was made: calibration set, samples, seed, ...
};

class Graph {
 public:
  // Building. Names must be unique per kind; add_* makes them so by appending "_1", "_2", ... and empty ones get one.
  ValueId add_input(std::string name, DType dtype, Shape shape);
  ValueId add_constant(std::string name, Tensor tensor);
  ValueId add_value(std::string name);
  /// Appends a node with one fresh output and returns that value.
  ValueId add(std::string name, Op op, std::vector<ValueId> inputs);
  /// Appends a node that writes existing values, which nobody produces yet.
  NodeId add_node(Node node);
  void add_output(ValueId value) { outputs_.push_back(value); }
  void set_outputs(std::vector<ValueId> values) { outputs_ = std::move(values); }

  // Reading.
  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }
  std::vector<NodeId> nodes() const;  ///< living nodes in topological order; throws konv::Error naming a node on a cycle
  int value_count() const { return static_cast<int>(values_.size()); }
  int node_capacity() const { return static_cast<int>(nodes_.size()); }
  bool alive(NodeId id) const { return id && nodes_[static_cast<std::size_t>(id.index)].has_value(); }
  const Node& node(NodeId id) const { return *nodes_[static_cast<std::size_t>(id.index)]; }
  const Value& value(ValueId id) const { return values_[static_cast<std::size_t>(id.index)]; }
  Value& value(ValueId id) { return values_[static_cast<std::size_t>(id.index)]; }
  /// For the operator and the inputs; outputs stay as they are. Readers are searched for, not looked up, from here to refresh_index():
  /// replace_node() changes a node without that cost.
  Node& mutable_node(NodeId id) {
    index_stale_ = true;
    return *nodes_[static_cast<std::size_t>(id.index)];
  }
  std::optional<ValueId> find_value(std::string_view name) const;

  NodeId producer(ValueId id) const;              ///< NodeId{} for inputs and constants
  std::vector<NodeId> readers(ValueId id) const;  ///< each reader once
  /// Reads of the value: input slots of nodes, plus one for each time it is a graph output.
  int reader_count(ValueId id) const;
  bool is_output(ValueId id) const;
  bool is_input(ValueId id) const;

  template <class T>
  const T* as(NodeId id) const {
    return alive(id) ? std::get_if<T>(&node(id).op) : nullptr;
  }
  /// The node that produces `id`, when it is a T.
  template <class T>
  const Node* producer_as(ValueId id) const {
    const NodeId p = id ? producer(id) : NodeId{};
    return as<T>(p) ? &node(p) : nullptr;
  }
  const Tensor* constant(ValueId id) const { return id && value(id).constant ? &*value(id).constant : nullptr; }

  // Editing (passes go through Edit).
  void remove_node(NodeId id);
  /// Another operator in the place of node `id`: same name, same outputs.
  void replace_node(NodeId id, Op op, std::vector<ValueId> inputs);
  /// All readers of `from`, graph outputs too, read `to` instead.
  void redirect(ValueId from, ValueId to);
  void set_input_shape(ValueId id, Shape shape) { value(id).shape = std::move(shape); }
  /// Gives value `id` the name `name`; who had it before gets another one.
  void rename_value(ValueId id, std::string name);
  /// Makes readers() and reader_count() quick again after mutable_node(). apply() and verify() call it.
  void refresh_index();
  /// Drops constants and values nobody mentions and closes the holes: ids change. For saving.
  Graph compacted() const;

  Metadata metadata;
  std::string name;

 private:
  std::string unique_value_name(std::string wanted);
  std::string unique_node_name(std::string wanted);
  ValueId append_value(Value value);
  bool known(ValueId id) const { return id && id.index < value_count(); }
  void index_inputs(NodeId id);
  void unindex_inputs(NodeId id);

  std::vector<std::optional<Node>> nodes_;
  std::vector<Value> values_;
  std::vector<ValueId> inputs_, outputs_;
  std::vector<NodeId> producers_;             // by value
  std::vector<std::vector<NodeId>> readers_;  // by value: one entry per input slot that reads it, unless index_stale_
  bool index_stale_ = false;
  std::map<std::string, ValueId, std::less<>> value_names_;
  std::map<std::string, NodeId, std::less<>> node_names_;
  std::map<std::string, int, std::less<>> value_suffixes_, node_suffixes_;  // by name: the last "_<n>" given out
};

/// How errors name a node: "node 'stage2/conv1' (Conv)".
std::string label(const Node& node);

/// Throws konv::Error for the first thing that is wrong, naming the node: ids, arity, types, attributes, order, shapes.
/// Graphs from files go through this before anything else reads them. Also infers all shapes.
void verify(Graph& graph);

}  // namespace konv
