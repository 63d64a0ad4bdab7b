// integer-layers:  q -> Identity -> layer -> y             =>   q -> layer -> y               q, r, s stored in integers
//                  q -> layer -> Identity -> r             =>   q -> layer -> r
//                  q -> Identity -> mover -> y             =>   q -> mover -> s -> Identity -> y
//                  q -> Identity -> Identity -> r          =>   q -> Identity -> r, or q where the two are stored alike
//
// A layer (convolution, matrix product, pooling, mean, addition) that reads integers computes with them; scales, bias and activation are applied once, to
// its exact sums. A mover hands elements on as they are, so their scale stays. Not every layer has an integer kernel: integers_refused() says which
// and why, and it computes with real numbers.
#include <algorithm>

#include <fmt/format.h>

#include "engine/graph/weights.h"
#include "engine/passes/list.h"
#include "engine/passes/quantized.h"

namespace konv::passes {

namespace {

/// The integers that real numbers have been made from; none for others.
ValueId integers_behind(const Graph& graph, ValueId id) {
  const Node* back = graph.producer_as<Identity>(id);
  return back && is_plain_float(graph, id) && is_stored(graph, back->input(0)) ? back->input(0) : ValueId{};
}

bool reads_integers(const Graph& graph, const Node& node) {
  return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) { return is_stored(graph, id); });
}

std::size_t rank_of(const Graph& graph, ValueId id) {
  const std::optional<Shape>& shape = graph.value(id).shape;
  return shape ? shape->size() : 0;
}

bool is_word(DType type) { return type == DType::int16; }

// Layers.

struct LayerInputs {
  std::int64_t outputs = 0;
  std::int32_t weight_axis = 0;
};

/// Why the weight is none that integer kernels take; "" for one they do.
std::string refuse_weight(const Graph& graph, ValueId id, const LayerInputs& layer) {
  const Value& weight = graph.value(id);
  if (!weight.constant) return "its weight is no constant";
  if (!weight.quantization) return "its weight is no constant of at most 8 bits that lie around a zero point of 0";
  const Quantization& q = *weight.quantization;
  if (q.scale.size() > 1 && (std::ssize(q.scale) != layer.outputs || q.axis != layer.weight_axis))
    return "its weight has scales that are not those of its outputs";
  return "";
}

/// The bias as plain real numbers, one per output, added to `edit` where it is stored otherwise; `why` says when it is not constant.
std::optional<ValueId> real_bias(const Graph& graph, ValueId id, const LayerInputs& layer, Edit& edit, std::string& why) {
  if (!id) return ValueId{};
  const Value& bias = graph.value(id);
  if (!bias.constant) return why = "its bias is no constant", std::nullopt;
  if (bias.constant->count() != layer.outputs) return why = "its bias is not one number per output", std::nullopt;
  if (is_plain_float(graph, id)) return id;
  if (!bias.quantization) return why = fmt::format("its bias is {}", name(bias.dtype)), std::nullopt;
  return edit.constant(bias.name + ".real", real_weights(bias));
}

std::optional<Edit> layer_on_integers(const Graph& graph, NodeId id, const Op& op, const LayerInputs& layer, std::string& why) {
  const Node& node = graph.node(id);
  const ValueId input = integers_behind(graph, node.input(0)), residual = node.input(Conv::kResidual);
  if (why = refuse_weight(graph, node.input(1), layer); !why.empty()) return {};
  Edit edit(graph);
  const std::optional<ValueId> bias = real_bias(graph, node.input(2), layer, edit, why);
  if (!bias) return {};
  std::vector<ValueId> inputs = {input, node.input(1), *bias};
  if (residual) {
    const ValueId integers = integers_behind(graph, residual);
    if (!integers) return why = fmt::format("its residual '{}' is not quantized", graph.value(residual).name), std::nullopt;
    if (is_word(graph.value(integers).dtype) != is_word(graph.value(input).dtype))
      return why = "its residual has other integers than its input", std::nullopt;
    inputs.push_back(integers);
  }
  while (!inputs.back()) inputs.pop_back();
  edit.replace(id, op, inputs);
  return edit;
}

std::optional<Edit> conv_on_integers(const Graph& graph, NodeId id, const Conv& op, std::string& why) {
  const Node& node = graph.node(id);
  const std::size_t rank = rank_of(graph, node.input(0));
  if (rank != 3 && rank != 4) return why = "it is no convolution of one or two dimensions", std::nullopt;
  const Tensor* weight = graph.constant(node.input(Conv::kWeight));
  return layer_on_integers(graph, id, op, {weight ? weight->dims.front() : 0, 0}, why);
}

std::optional<Edit> product_on_integers(const Graph& graph, NodeId id, const Gemm& op, std::string& why) {
  const Node& node = graph.node(id);
  if (rank_of(graph, node.input(0)) != 2) return why = "its input has not two dimensions", std::nullopt;
  if (op.transpose_a || op.alpha != 1 || (node.input(Gemm::kC) && op.beta != 1))
    return why = "it scales its operands or transposes its input", std::nullopt;
  const Tensor* weight = graph.constant(node.input(Gemm::kB));
  if (weight && weight->dims.size() != 2) return why = "its weight has not two dimensions", std::nullopt;
  const int axis = op.transpose_b ? 0 : 1;
  return layer_on_integers(graph, id, op, {weight ? weight->dims[static_cast<std::size_t>(axis)] : 0, axis}, why);
}

std::optional<Edit> pool_on_integers(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  Edit edit(graph);
  edit.replace(id, node.op, {integers_behind(graph, node.input(0))});
  return edit;
}

/// The mean over the pixels of images, whose axes may be an input.
std::optional<Edit> mean_on_integers(const Graph& graph, NodeId id, Reduce op, std::string& why) {
  const Node& node = graph.node(id);
  if (const Tensor* axes = graph.constant(node.input(Reduce::kAxes))) op.axes = to_i64(*axes);
  Ints sorted = op.axes;
  for (std::int64_t& axis : sorted) axis += axis < 0 ? 4 : 0;
  std::sort(sorted.begin(), sorted.end());
  if (op.kind != ReduceKind::mean || rank_of(graph, node.input(0)) != 4 || sorted != Ints{2, 3})
    return why = "it reduces, but is no mean over the pixels of images", std::nullopt;
  Edit edit(graph);
  edit.replace(id, op, {integers_behind(graph, node.input(0))});
  return edit;
}

std::optional<Edit> sum_on_integers(const Graph& graph, NodeId id, const Binary& op, std::string& why) {
  const Node& node = graph.node(id);
  const ValueId a = integers_behind(graph, node.input(0)), b = integers_behind(graph, node.input(1));
  if (op.kind != BinaryKind::add) return why = "it is arithmetic that has no integer kernel", std::nullopt;
  if (!a || !b) return why = fmt::format("'{}' is not quantized", graph.value(node.input(a ? 1 : 0)).name), std::nullopt;
  if (!certainly_equal(graph.value(a).shape, graph.value(b).shape)) return why = "its operands have different shapes", std::nullopt;
  if (graph.value(a).dtype != graph.value(b).dtype) return why = "its operands have different types", std::nullopt;
  Edit edit(graph);
  edit.replace(id, op, {a, b});
  return edit;
}

// Movers.

/// Operators that hand elements on as they are.
bool moves(const Node& node) {
  if (const auto* pool = std::get_if<Pool>(&node.op)) return pool->kind == PoolKind::max;
  if (const auto* pad = std::get_if<Pad>(&node.op)) {  // zero has an integer of its own, other numbers may not
    return pad->mode != PadMode::constant || (pad->value == 0 && !node.input(Pad::kValue));
  }
  return std::visit(
      []<class T>(const T&) {
        return std::is_same_v<T, Slice> || std::is_same_v<T, Flatten> || std::is_same_v<T, Reshape> || std::is_same_v<T, Squeeze> ||
               std::is_same_v<T, Unsqueeze> || std::is_same_v<T, Transpose> || std::is_same_v<T, Gather> || std::is_same_v<T, Expand>;
      },
      node.op);
}

/// The node on integers stored as `storage`, and real numbers made from its result.
Edit moved(const Graph& graph, NodeId id, std::vector<ValueId> inputs, const Value& storage, Edit edit) {
  const Node& node = graph.node(id);
  const ValueId real = edit.add(node.name + ".real", Identity{}, {node.output()});
  edit.redirect(node.output(), real);
  edit.replace(id, node.op, std::move(inputs));
  edit.store(node.output(), storage.dtype, *storage.quantization);
  return edit;
}

std::optional<Edit> mover_on_integers(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const ValueId input = integers_behind(graph, node.input(0));
  std::vector<ValueId> inputs = node.inputs;
  inputs.front() = input;
  return moved(graph, id, std::move(inputs), graph.value(input), Edit(graph));
}

/// Parts of different scales are brought to the one that the whole gets next.
std::optional<Edit> concat_on_integers(const Graph& graph, NodeId id, std::string& why) {
  const Node& node = graph.node(id);
  std::vector<ValueId> parts;
  for (const ValueId input : node.inputs) {
    parts.push_back(integers_behind(graph, input));
    if (!parts.back()) return why = fmt::format("'{}' is not quantized", graph.value(input).name), std::nullopt;
  }
  const Value* storage = &graph.value(parts.front());
  const auto alike = [&](ValueId part) { return same_storage(graph.value(part), *storage); };
  if (!std::all_of(parts.begin(), parts.end(), alike)) {
    const NodeId reader = only_reader(graph, node.output());
    if (!graph.as<Identity>(reader) || !is_stored(graph, graph.node(reader).output()))
      return why = "its operands differ in their scales", std::nullopt;
    storage = &graph.value(graph.node(reader).output());
  }
  Edit edit(graph);
  for (ValueId& part : parts) {
    if (alike(part)) continue;
    part = edit.add(node.name + ".part", Identity{}, {part});
    edit.store(part, storage->dtype, *storage->quantization);
  }
  return moved(graph, id, std::move(parts), *storage, std::move(edit));
}

// Both ends.

std::optional<Edit> on_integers(const Graph& graph, NodeId id, std::string& why) {
  const Node& node = graph.node(id);
  if (std::none_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) { return static_cast<bool>(integers_behind(graph, input)); }))
    return {};
  if (const auto* binary = graph.as<Binary>(id)) return sum_on_integers(graph, id, *binary, why);
  if (graph.as<Concat>(id)) return concat_on_integers(graph, id, why);
  if (!integers_behind(graph, node.input(0)))
    return why = fmt::format("'{}' is not quantized", graph.value(node.input(0)).name), std::nullopt;
  if (const auto* conv = graph.as<Conv>(id)) return conv_on_integers(graph, id, *conv, why);
  if (const auto* gemm = graph.as<Gemm>(id)) return product_on_integers(graph, id, *gemm, why);
  if (graph.as<MatMul>(id)) return product_on_integers(graph, id, Gemm{}, why);
  if (moves(node)) return mover_on_integers(graph, id);
  if (const auto* pool = graph.as<Pool>(id); pool && pool->kind == PoolKind::average) return pool_on_integers(graph, id);
  if (const auto* reduce = graph.as<Reduce>(id)) return mean_on_integers(graph, id, *reduce, why);
  why = "it has no integer kernel";
  return {};
}

/// The layer's result in the integers that its only reader makes of it.
std::optional<Edit> into_integers(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (graph.as<Identity>(id) || !reads_integers(graph, node) || !is_plain_float(graph, node.output())) return {};
  const NodeId reader = only_reader(graph, node.output());
  if (!graph.as<Identity>(reader)) return {};
  const Value& stored = graph.value(graph.node(reader).output());
  if (!stored.quantization) return {};
  Edit edit(graph);
  edit.replace(id, node.op, node.inputs);
  edit.store(node.output(), stored.dtype, *stored.quantization);
  edit.redirect(graph.node(reader).output(), node.output());
  return edit;
}

/// An Identity that makes integers of real numbers that were integers.
std::optional<Edit> rescaled(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const ValueId from = integers_behind(graph, node.input(0));
  if (!graph.as<Identity>(id) || !from || !is_stored(graph, node.output())) return {};
  Edit edit(graph);
  if (same_storage(graph.value(from), graph.value(node.output()))) {
    edit.redirect(node.output(), from);
  } else {
    edit.replace(id, Identity{}, {from});
  }
  return edit;
}

}  // namespace

std::optional<Edit> integer_layers(const Graph& graph, NodeId id, const Context&) {
  if (graph.as<Identity>(id)) return rescaled(graph, id);
  std::string why;
  if (std::optional<Edit> edit = on_integers(graph, id, why)) return edit;
  return into_integers(graph, id);
}

std::string integers_refused(const Graph& graph, NodeId id) {
  std::string why;
  if (graph.as<Identity>(id) || on_integers(graph, id, why)) return {};
  if (graph.as<ConvInteger>(id) || graph.as<MatMulInteger>(id)) return "its integers have no scale that is known before it runs";
  if (graph.as<Dequantize>(id)) return "it dequantizes integers that no stored value has";
  return why;
}

}  // namespace konv::passes
