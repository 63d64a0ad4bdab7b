// cancel-transposes:  x -> Transpose(p) -> Transpose(q) -> y   =>   x -> Transpose(p then q) -> y, or x where that changes nothing
//                     x -> Transpose -> Unary -> y             =>   x -> Unary -> Transpose -> y
//
// Dimension i of y is dimension p[q[i]] of x. The second rule lets transposes meet that an activation keeps apart, as they stand around layers that
// frameworks with channels last have exported; transposes only ever move towards the outputs, so it ends.

#include <utility>

#include "engine/passes/list.h"
#include "engine/passes/match.h"

namespace konv::passes {

namespace {

/// The permutation with nothing left out; nothing when the rank is unknown.
std::optional<Ints> permutation_of(const Graph& graph, const Node& node) {
  const Ints& listed = std::get<Transpose>(node.op).permutation;
  const std::optional<Shape>& shape = graph.value(node.output()).shape;
  if (!shape) return {};
  Ints all;
  for (std::int64_t i = 0; i < std::ssize(*shape); ++i) {
    const std::int64_t axis = listed.empty() ? std::ssize(*shape) - 1 - i : listed[static_cast<std::size_t>(i)];
    all.push_back(axis < 0 ? axis + std::ssize(*shape) : axis);
  }
  return all;
}

bool changes_nothing(const Ints& permutation) {
  for (std::size_t i = 0; i < permutation.size(); ++i) {
    if (permutation[i] != static_cast<std::int64_t>(i)) return false;
  }
  return true;
}

std::optional<Edit> bypass(const Graph& graph, const Node& node, ValueId source) {
  if (graph.is_output(node.output()) && graph.constant(source)) return {};  // outputs are computed by nodes
  Edit edit(graph);
  edit.redirect(node.output(), source);
  if (!keeps_interface(graph, edit)) return {};  // an input would become an output
  return edit;
}

std::optional<Edit> sink(const Graph& graph, NodeId id) {
  const Node& transpose = graph.node(id);
  const NodeId reader = only_reader(graph, transpose.output());
  const auto* unary = graph.as<Unary>(reader);
  if (!unary) return {};  // or somebody else reads it as it lies
  const ValueId result = graph.node(reader).output();
  if (graph.value(transpose.output()).quantization || graph.value(result).quantization) return {};  // scales belong to values
  Edit edit(graph);
  const ValueId activated = edit.add(graph.node(reader).name, *unary, {transpose.input(0)});
  edit.replace(id, transpose.op, {activated});
  edit.redirect(result, transpose.output());
  return edit;
}

}  // namespace

std::optional<Edit> cancel_transposes(const Graph& graph, NodeId id, const Context&) {
  if (!graph.as<Transpose>(id)) return {};
  const Node& second = graph.node(id);
  const std::optional<Ints> q = permutation_of(graph, second);
  if (!q || graph.value(second.output()).quantization) return {};
  if (changes_nothing(*q)) return bypass(graph, second, second.input(0));
  const Node* first = graph.producer_as<Transpose>(second.input(0));
  if (!first) return sink(graph, id);
  const std::optional<Ints> p = permutation_of(graph, *first);
  if (!p || graph.value(first->output()).quantization) return {};
  Ints both;
  for (const std::int64_t axis : *q) both.push_back((*p)[static_cast<std::size_t>(axis)]);
  if (changes_nothing(both)) return bypass(graph, second, first->input(0));
  Edit edit(graph);
  edit.replace(id, Transpose{both}, {first->input(0)});
  return edit;
}

}  // namespace konv::passes
