// merge-reshapes:  x -> Reshape -> Reshape -> y   =>   x -> Reshape -> y, or x where y has x's shape
//
// Reshape, Flatten, Squeeze and Unsqueeze, in any mixture. Of y's sizes at most one may be unknown: it becomes the -1.

#include <algorithm>

#include "engine/passes/list.h"
#include "engine/passes/match.h"

namespace konv::passes {

namespace {

bool is_reshape(const Graph& graph, NodeId id) {
  return graph.as<Reshape>(id) || graph.as<Flatten>(id) || graph.as<Squeeze>(id) || graph.as<Unsqueeze>(id);
}

/// The shape as Reshape spells it; nothing when it cannot.
std::optional<Ints> spelled(const std::optional<Shape>& shape) {
  if (!shape) return {};
  Ints sizes;
  for (const Dim& dim : *shape) {
    if (dim.known() && dim.value() == 0) return {};  // -1 beside 0 says nothing, and 0 means the input's size
    sizes.push_back(dim.known() ? dim.value() : -1);
  }
  if (std::count(sizes.begin(), sizes.end(), -1) > 1) return {};
  return sizes;
}

}  // namespace

std::optional<Edit> merge_reshapes(const Graph& graph, NodeId id, const Context&) {
  if (!is_reshape(graph, id)) return {};
  const Node& node = graph.node(id);
  const ValueId in = node.input(0), out = node.output();
  if (graph.value(in).quantization || graph.value(out).quantization) return {};  // scales along an axis
  const std::optional<Shape>&before = graph.value(in).shape, &after = graph.value(out).shape;
  if (before && after && before->size() == after->size() && certainly_equal(before, after)) {
    if (graph.is_output(out) && graph.constant(in)) return {};  // outputs are computed by nodes
    Edit edit(graph);
    edit.redirect(out, in);
    if (!keeps_interface(graph, edit)) return {};
    return edit;
  }
  const NodeId first = graph.producer(in);
  if (!first || !is_reshape(graph, first)) return {};
  const std::optional<Ints> sizes = spelled(after);
  if (!sizes) return {};
  Edit edit(graph);
  const ValueId shape = edit.constant(node.name + ".shape", make_i64({std::ssize(*sizes)}, *sizes));
  edit.replace(id, Reshape{}, {graph.node(first).input(0), shape});
  return edit;
}

}  // namespace konv::passes
