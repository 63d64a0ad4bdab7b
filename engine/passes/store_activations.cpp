// store-activations:  x -> Quantize -> Dequantize -> y            =>   x -> Identity -> q -> Identity -> y, q stored in integers
//                     x -> Quantize -> min, max -> Dequantize     =>   the same with fewer bits, behind a clip where they are not a power of two
//                     q -> Identity -> Relu -> y                  =>   Relu in front of q: rounding and a step at 0 do not mind each other
//                     x -> MaxPool -> Identity -> q               =>   MaxPool behind q, on integers: the largest stays the largest
//
// An Identity on the way to a stored value rounds as Quantize does, one on the way back multiplies as Dequantize does: the same numbers as before, whether
// or not integer-layers finds a kernel for the nodes around. One-byte types become unsigned by a shift of their zero point.
#include <fmt/format.h>

#include "engine/passes/list.h"
#include "engine/passes/quantized.h"

namespace konv::passes {

namespace {

/// The only element of a constant integer.
std::optional<std::int64_t> constant_integer(const Graph& graph, ValueId id) {
  const Tensor* tensor = graph.constant(id);
  if (!tensor || is_float(tensor->dtype) || tensor->count() != 1) return {};
  return to_i64(*tensor).front();
}

/// Integers on their way from Quantize to Dequantize, and what bounds them there.
struct Way {
  ValueId end;
  std::int64_t low = INT64_MIN, high = INT64_MAX;
};

Way follow(const Graph& graph, ValueId from) {
  Way way{from};
  for (;;) {
    const NodeId reader = only_reader(graph, way.end);
    const auto* bound = graph.as<Binary>(reader);
    if (!bound || (bound->kind != BinaryKind::min && bound->kind != BinaryKind::max) || bound->activation.kind != ActivationKind::none)
      return way;
    const Node& node = graph.node(reader);
    const auto constant = constant_integer(graph, node.input(node.input(Binary::kA) == way.end ? Binary::kB : Binary::kA));
    if (!constant) return way;
    std::int64_t& end = bound->kind == BinaryKind::min ? way.high : way.low;
    end = bound->kind == BinaryKind::min ? std::min(end, *constant) : std::max(end, *constant);
    way.end = node.output();
  }
}

bool same_scales(const Quantization& a, const Quantization& b) { return a.scale == b.scale && a.zero_point == b.zero_point; }

std::optional<Edit> store(const Graph& graph, NodeId id, std::string& why) {
  const Node& node = graph.node(id);
  const DType type = std::get<Quantize>(node.op).to;
  const ValueId input = node.input(Quantize::kInput);
  if (!is_plain_float(graph, input)) return why = fmt::format("quantizes {}", name(graph.value(input).dtype)), std::nullopt;
  const std::optional<Quantization> scale = constant_scales(graph, node, why);
  if (!scale) return {};
  const Way way = follow(graph, node.output());
  if (graph.is_output(way.end)) return why = "gives integers to the outside", std::nullopt;
  const std::vector<NodeId> readers = graph.readers(way.end);
  for (const NodeId reader : readers) {
    const auto* dequantize = graph.as<Dequantize>(reader);
    if (!dequantize) return why = fmt::format("its integers are read by {}", label(graph.node(reader))), std::nullopt;
    const std::optional<Quantization> back = constant_scales(graph, graph.node(reader), why);
    if (!back) return {};
    if (dequantize->to != DType::float32 || !same_scales(*scale, *back))
      return why = fmt::format("{} has another scale or type", label(graph.node(reader))), std::nullopt;
  }
  if (readers.empty()) return {};
  const std::optional<Activations> stored = stored_activations(type, *scale, way.low, way.high, why);
  if (!stored) return {};

  Edit edit(graph);
  ValueId from = input;
  if (!stored->whole_range) {
    const float step = scale->scale.front();
    const std::int64_t zero = scale->zero_point.front();
    const auto real = [&](std::int64_t integer) { return static_cast<float>(integer - zero) * step; };
    const Activation clip{ActivationKind::clip, real(std::max(way.low, least(type))), real(std::min(way.high, most(type)))};
    from = edit.add(node.name + ".clip", Unary{clip}, {input});
  }
  edit.replace(id, Identity{}, {from});
  edit.store(node.output(), stored->storage.dtype, stored->storage.quantization);
  for (const NodeId reader : readers) edit.replace(reader, Identity{}, {node.output()});
  return edit;
}

/// max(round(x / s), 0) = round(max(x, 0) / s): the activation goes to the node in front, which may fuse it.
std::optional<Edit> advance_relu(const Graph& graph, NodeId id) {
  const auto* relu = graph.as<Unary>(id);
  if (!relu || relu->function.kind != ActivationKind::relu) return {};
  const Node& node = graph.node(id);
  const Node* back = graph.producer_as<Identity>(node.input(0));
  if (!back || !only_reader(graph, back->output()) || !is_stored(graph, back->input(0))) return {};
  const NodeId there = graph.producer(back->input(0));
  if (!graph.as<Identity>(there) || !only_reader(graph, back->input(0)) || !is_plain_float(graph, graph.node(there).input(0))) return {};
  Edit edit(graph);
  edit.redirect(node.output(), back->output());
  edit.replace(id, node.op, {graph.node(there).input(0)});
  edit.replace(there, Identity{}, {node.output()});
  if (!keeps_interface(graph, edit)) return {};
  return edit;
}

std::optional<Edit> delay_pool(const Graph& graph, NodeId id) {
  const auto* pool = graph.as<Pool>(id);
  if (!pool || pool->kind != PoolKind::max) return {};
  const Node& node = graph.node(id);
  const NodeId there = only_reader(graph, node.output());
  if (!graph.as<Identity>(there) || !is_plain_float(graph, node.input(0))) return {};
  const Node& rounding = graph.node(there);
  if (!is_stored(graph, rounding.output())) return {};
  const Value& stored = graph.value(rounding.output());
  Edit edit(graph);
  const ValueId early = edit.add(node.name + ".input", Identity{}, {node.input(0)});
  edit.store(early, stored.dtype, *stored.quantization);
  edit.redirect(rounding.output(), node.output());
  edit.replace(id, node.op, {early});
  edit.store(node.output(), stored.dtype, *stored.quantization);
  return edit;
}

}  // namespace

std::optional<Edit> store_activations(const Graph& graph, NodeId id, const Context&) {
  std::string why;
  if (graph.as<Quantize>(id)) return store(graph, id, why);
  if (std::optional<Edit> edit = delay_pool(graph, id)) return edit;
  return advance_relu(graph, id);
}

std::string not_stored(const Graph& graph, NodeId id) {
  std::string why;
  if (graph.as<Quantize>(id) && store(graph, id, why)) return {};
  return why;
}

}  // namespace konv::passes
