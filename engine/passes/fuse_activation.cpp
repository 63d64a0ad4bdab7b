// fuse-activation:  Conv | ConvTranspose | Gemm | Binary -> Unary   =>   the same with an activation
//
// Matches at the node in front, which stays.

#include "engine/passes/list.h"
#include "engine/passes/match.h"

namespace konv::passes {

std::optional<Edit> fuse_activation(const Graph& graph, NodeId id, const Context&) {
  const Node& node = graph.node(id);
  Op op = node.op;
  Activation* activation = epilogue(op);
  if (!activation || activation->kind != ActivationKind::none) return {};  // there is one activation per node
  const NodeId reader = only_reader(graph, node.output());
  const auto* unary = graph.as<Unary>(reader);
  if (!unary) return {};  // or somebody else needs the value before it
  const ValueId activated = graph.node(reader).output();
  if (!is_plain_float(graph, node.output())) return {};  // quantized: the step between is rounding
  if (!is_plain_float(graph, activated)) return {};

  *activation = unary->function;
  Edit edit(graph);
  edit.replace(id, op, node.inputs);
  edit.redirect(activated, node.output());
  return edit;
}

}  // namespace konv::passes
