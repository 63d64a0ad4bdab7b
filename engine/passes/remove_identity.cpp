// remove-identity:  x -> Identity -> y   =>   x
//
// Identity, Cast to the type that x has, and an activation of kind none. Reshapes that change nothing stay: they cost nothing.

#include "engine/passes/list.h"

namespace konv::passes {

namespace {

bool changes_nothing(const Graph& graph, const Node& node) {
  if (std::holds_alternative<Identity>(node.op)) return true;
  if (const auto* cast = std::get_if<Cast>(&node.op)) return cast->to == graph.value(node.input(0)).dtype;
  if (const auto* unary = std::get_if<Unary>(&node.op)) return unary->function.kind == ActivationKind::none;
  return false;
}

}  // namespace

std::optional<Edit> remove_identity(const Graph& graph, NodeId id, const Context&) {
  const Node& node = graph.node(id);
  if (!changes_nothing(graph, node)) return {};
  const ValueId from = node.output(), to = node.input(0);
  if (graph.value(from).quantization || graph.value(to).quantization) return {};  // may change the scale
  if (graph.is_output(from) && graph.constant(to)) return {};                     // outputs are computed by nodes

  Edit edit(graph);
  edit.redirect(from, to);
  if (!keeps_interface(graph, edit)) return {};  // input and output, or two outputs, would become one value with one name
  return edit;
}

}  // namespace konv::passes
