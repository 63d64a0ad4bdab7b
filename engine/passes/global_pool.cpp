// global-pool:  AveragePool | MaxPool over the whole image   =>   ReduceMean | ReduceMax over the spatial dimensions
//
// One way to write global pooling: GlobalAveragePool and ReduceMean over the pixels are the same operator here from the start.

#include <algorithm>

#include "engine/passes/list.h"
#include "engine/passes/match.h"

namespace konv::passes {

std::optional<Edit> global_pool(const Graph& graph, NodeId id, const Context&) {
  const auto* pool = graph.as<Pool>(id);
  if (!pool || (pool->kind != PoolKind::average && pool->kind != PoolKind::max)) return {};
  const Node& node = graph.node(id);
  if (!is_plain_float(graph, node.input(0)) || !is_plain_float(graph, node.output())) return {};
  const std::optional<Shape>&in = graph.value(node.input(0)).shape, &out = graph.value(node.output()).shape;
  if (!in || !out) return {};
  if (std::any_of(pool->window.pads.begin(), pool->window.pads.end(), [](std::int64_t p) { return p != 0; })) return {};
  if (std::any_of(pool->window.dilations.begin(), pool->window.dilations.end(), [](std::int64_t d) { return d != 1; })) return {};
  if (pool->window.auto_pad == AutoPad::same_upper || pool->window.auto_pad == AutoPad::same_lower) return {};
  Reduce reduce{pool->kind == PoolKind::max ? ReduceKind::max : ReduceKind::mean, {}, true};
  for (std::size_t i = 2; i < in->size(); ++i) {
    if (!(*in)[i].known() || (*in)[i].value() != pool->kernel[i - 2] || !(*out)[i].known() || (*out)[i].value() != 1) return {};
    reduce.axes.push_back(static_cast<std::int64_t>(i));
  }
  Edit edit(graph);
  edit.replace(id, reduce, {node.input(0)});
  return edit;
}

}  // namespace konv::passes
