// merge-batch-norms:  BatchNorm -> BatchNorm   =>   BatchNorm
//
//   s2 (s1 x + t1) + t2 = (s1 s2) x + (s2 t1 + t2), kept as gamma and beta with mean 0 and variance 1

#include "engine/passes/list.h"
#include "engine/passes/match.h"

namespace konv::passes {

std::optional<Edit> merge_batch_norms(const Graph& graph, NodeId id, const Context&) {
  if (!graph.as<BatchNorm>(id)) return {};
  const Node& second = graph.node(id);
  const ValueId between = second.input(BatchNorm::kInput);
  const Node* first = graph.producer_as<BatchNorm>(between);
  if (!first || !only_reader(graph, between)) return {};  // or somebody else needs the value between
  if (!is_plain_float(graph, between) || !is_plain_float(graph, second.output())) return {};
  const std::optional<ChannelAffine> a = channel_affine(graph, *first), b = channel_affine(graph, second);
  if (!a || !b || a->scale.size() != b->scale.size()) return {};
  const std::size_t channels = a->scale.size();
  std::vector<double> scale(channels), shift(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    scale[c] = a->scale[c] * b->scale[c];
    shift[c] = b->scale[c] * a->shift[c] + b->shift[c];
  }
  const Dims dims{static_cast<std::int64_t>(channels)};
  Edit edit(graph);
  const ValueId gamma = edit.constant(folded_name(graph, second.input(BatchNorm::kGamma)), from_doubles(dims, scale));
  const ValueId beta = edit.constant(folded_name(graph, second.input(BatchNorm::kBeta)), from_doubles(dims, shift));
  const ValueId mean =
      edit.constant(folded_name(graph, second.input(BatchNorm::kMean)), from_doubles(dims, std::vector<double>(channels, 0)));
  const ValueId variance =
      edit.constant(folded_name(graph, second.input(BatchNorm::kVariance)), from_doubles(dims, std::vector<double>(channels, 1)));
  edit.replace(id, BatchNorm{0}, {first->input(BatchNorm::kInput), gamma, beta, mean, variance});
  return edit;
}

}  // namespace konv::passes
