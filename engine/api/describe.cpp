// The graph for people and scripts: JSON and Graphviz.
#include <cmath>
#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "engine/api/model_impl.h"
#include "engine/graph/fields.h"

namespace konv {
namespace {

using Json = nlohmann::ordered_json;

Json shape_json(const Graph& graph, ValueId id) {
  const std::optional<Shape>& shape = graph.value(id).shape;
  if (!shape) return nullptr;
  Json list = Json::array();
  for (const Dim& dim : *shape) {
    if (dim.known()) {
      list.push_back(dim.value());
    } else {
      list.push_back(dim.symbol().empty() ? "?" : dim.symbol());
    }
  }
  return list;
}

Json attributes(const Op& op) {
  Json out = Json::object();
  const auto visit = [&](const char* name, const auto& field) {
    using T = std::remove_cvref_t<decltype(field)>;
    if constexpr (std::is_enum_v<T>) {
      out[name] = enum_names(T{})[static_cast<std::size_t>(field)];
    } else {
      out[name] = field;
    }
  };
  std::visit([&](const auto& typed) { describe(typed, visit); }, op);
  return out;
}

Json names(const Graph& graph, const std::vector<ValueId>& ids) {
  Json list = Json::array();
  for (ValueId id : ids) list.push_back(id ? graph.value(id).name : "");
  return list;
}

Json tensors(const Graph& graph, const std::vector<ValueId>& ids) {
  Json list = Json::array();
  for (ValueId id : ids)
    list.push_back({{"name", graph.value(id).name}, {"type", name(graph.value(id).dtype)}, {"shape", shape_json(graph, id)}});
  return list;
}

/// The share of a step's multiply-adds that pruning has left.
double kept_share(const Graph& graph, const plan::Step& step) {
  for (const NodeId id : step.nodes) {
    if (!graph.as<Conv>(id)) continue;
    const Value& weight = graph.value(graph.node(id).input(Conv::kWeight));
    if (!weight.kept_rows) continue;
    const Dims& dense = weight.kept_rows->dense_dims;
    return static_cast<double>(weight.kept_rows->rows.size() * static_cast<std::size_t>(dense[0])) /
           static_cast<double>(element_count(dense));
  }
  return 1;
}

/// Multiply-adds of one run with every open size 1, without those of pruned rows; null when no plan can be made.
Json multiply_adds(const Graph& graph) {
  try {
    const plan::Plan plan = plan::make(graph, run::by_value(graph, api::smallest_shapes(graph)), Machine::typical(Isa::portable));
    std::int64_t macs = 0;
    for (const plan::Step& step : plan.steps) macs += std::llround(static_cast<double>(step.macs) * kept_share(graph, step));
    return macs;
  } catch (const Error&) {
    return nullptr;
  }
}

std::string quoted(const std::string& text) { return Json(text).dump(); }

}  // namespace

std::string Model::describe() const {
  const Graph& graph = impl_->graph();
  Json out;
  out["source"] = graph.metadata.source;
  out["inputs"] = tensors(graph, graph.inputs());
  out["outputs"] = tensors(graph, graph.outputs());
  out["nodes"] = Json::array();
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    Json shapes = Json::array();
    for (ValueId output : node.outputs) shapes.push_back(shape_json(graph, output));
    out["nodes"].push_back({{"name", node.name},
                            {"op", display_name(node.op)},
                            {"inputs", names(graph, node.inputs)},
                            {"outputs", names(graph, node.outputs)},
                            {"output_shapes", std::move(shapes)},
                            {"attributes", attributes(node.op)}});
  }
  std::int64_t parameters = 0;
  for (int v = 0; v < graph.value_count(); ++v) {
    const Value& value = graph.value({v});
    const bool real = value.constant && (is_float(value.constant->dtype) || value.quantization);
    if (real && graph.reader_count({v}) > 0) parameters += value.constant->count();
  }
  out["passes_applied"] = graph.metadata.passes;
  out["labels"] = graph.metadata.labels;
  out["preprocessing"] = nullptr;
  if (const std::optional<Preprocessing>& p = graph.metadata.preprocessing) {
    out["preprocessing"] = {{"width", p->width}, {"height", p->height}, {"scale", p->scale},
                            {"mean", p->mean},   {"std", p->std},       {"order", p->bgr ? "BGR" : "RGB"}};
  }
  out["metadata"] = graph.metadata.entries;
  out["parameters"] = parameters;
  out["weights_bytes"] = weights_bytes();
  out["macs"] = multiply_adds(graph);
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string Model::dot() const {
  const Graph& graph = impl_->graph();
  std::string out = "digraph konv {\n  node [shape=box, fontname=\"sans-serif\"];\n";
  const auto value_name = [](ValueId id) { return fmt::format("v{}", id.index); };
  for (ValueId id : graph.inputs()) out += fmt::format("  {} [shape=ellipse, label={}];\n", value_name(id), quoted(graph.value(id).name));
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    out += fmt::format("  n{} [label={}];\n", id.index, quoted(display_name(node.op) + "\n" + node.name));
    for (ValueId input : node.inputs) {
      if (!input || graph.constant(input)) continue;
      const NodeId producer = graph.producer(input);
      const std::string label = graph.value(input).shape ? to_string(*graph.value(input).shape) : "?";
      out += fmt::format("  {} -> n{} [label={}];\n", producer ? fmt::format("n{}", producer.index) : value_name(input), id.index,
                         quoted(label));
    }
  }
  for (std::size_t i = 0; i < graph.outputs().size(); ++i) {
    const ValueId output = graph.outputs()[i];
    const NodeId producer = graph.producer(output);
    out += fmt::format("  o{} [shape=ellipse, label={}];\n  {} -> o{};\n", i, quoted(graph.value(output).name),
                       producer ? fmt::format("n{}", producer.index) : value_name(output), i);
  }
  return out + "}\n";
}

}  // namespace konv
