// fold-batch-norm:  Conv | ConvTranspose | Gemm -> BatchNorm   =>   the same node with other weights
//
//   w'[o] = w[o] * s[o]        s = gamma / sqrt(var + epsilon)
//   b'[o] = (b[o] - mean[o]) * s[o] + beta[o]
//
// Matches at the node in front, which stays and keeps its name.

#include "engine/passes/fold_affine.h"
#include "engine/passes/list.h"

namespace konv::passes {

std::optional<Edit> fold_batch_norm(const Graph& graph, NodeId id, const Context&) {
  const NodeId reader = reader_to_fold(graph, id);
  if (!graph.as<BatchNorm>(reader)) return {};
  const Node& norm = graph.node(reader);
  if (norm.input(BatchNorm::kInput) != graph.node(id).output()) return {};  // computed statistics
  const std::optional<ChannelAffine> affine = channel_affine(graph, norm);
  if (!affine) return {};  // known only at run time
  return fold_affine(graph, id, *affine, reader, norm.input(BatchNorm::kBeta));
}

}  // namespace konv::passes
