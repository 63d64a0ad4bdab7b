// fuse-residual:  Add(Conv, r)   =>   Conv with residual r
//
//   out = activation(conv + bias + r), the activation being the Add's.
//
// Between two convolutions the later one in topological order takes the other's result: that one is computed by then anyway.
// No cycle can arise: nothing but the Add reads the convolution, so r does not depend on it.

#include "engine/passes/list.h"
#include "engine/passes/match.h"

namespace konv::passes {

namespace {

/// A convolution that can take a residual in and whose result only the Add needs.
bool is_open(const Graph& graph, NodeId id) {
  const auto* conv = graph.as<Conv>(id);
  if (!conv) return false;
  const Node& node = graph.node(id);
  if (conv->activation.kind != ActivationKind::none) return false;  // the activation comes before the sum
  if (node.input(Conv::kResidual)) return false;                    // there is one residual
  if (!is_plain_float(graph, node.output())) return false;          // quantized: the sum has scales of its own
  return static_cast<bool>(only_reader(graph, node.output()));
}

bool comes_later(const Graph& graph, NodeId a, NodeId b) {
  for (const NodeId id : graph.nodes()) {
    if (id == a) return false;
    if (id == b) return true;
  }
  return false;
}

}  // namespace

std::optional<Edit> fuse_residual(const Graph& graph, NodeId id, const Context&) {
  if (!is_open(graph, id)) return {};
  const Node& conv = graph.node(id);
  const NodeId reader = only_reader(graph, conv.output());
  const auto* add = graph.as<Binary>(reader);
  if (!add || add->kind != BinaryKind::add) return {};
  const Node& sum = graph.node(reader);
  const ValueId residual = sum.input(Binary::kA) == conv.output() ? sum.input(Binary::kB) : sum.input(Binary::kA);
  if (!is_plain_float(graph, residual) || !is_plain_float(graph, sum.output())) return {};
  if (!certainly_equal(graph.value(residual).shape, graph.value(conv.output()).shape)) return {};  // may broadcast
  const NodeId other = graph.producer(residual);
  if (other && is_open(graph, other) && comes_later(graph, other, id)) return {};  // the other one's turn

  Conv op = std::get<Conv>(conv.op);
  op.activation = add->activation;
  Edit edit(graph);
  edit.replace(id, op, {conv.input(Conv::kInput), conv.input(Conv::kWeight), conv.input(Conv::kBias), residual});
  edit.redirect(sum.output(), conv.output());
  return edit;
}

}  // namespace konv::passes
