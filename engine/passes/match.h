// What several passes ask about the surroundings of a node. Only files of this folder include this.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace konv::passes {

/// A float32 value that stands for itself: neither quantized nor pruned.
bool is_plain_float(const Graph& graph, ValueId id);

/// The constant, when it is a plain float one; null otherwise, for absent inputs too.
const Tensor* plain_weights(const Graph& graph, ValueId id);

/// The node that alone reads `id`, in one slot; none when somebody else does or `id` is a graph output.
NodeId only_reader(const Graph& graph, ValueId id);

/// "conv1.weight" -> "conv1.weight.folded", and no longer when folded again.
std::string folded_name(const Graph& graph, ValueId id);

/// The activation at the end of operators that have one, kind none included; null for the others.
Activation* epilogue(Op& op);

/// All sizes known to be the same.
bool certainly_equal(const std::optional<Shape>& a, const std::optional<Shape>& b);

/// y = scale[c] x + shift[c]
struct ChannelAffine {
  std::vector<double> scale, shift;
};

/// What a BatchNorm does with constant statistics: s = gamma / sqrt(variance + epsilon), shift = beta - mean s.
/// Nothing when a parameter is not a plain constant or a scale is not finite.
std::optional<ChannelAffine> channel_affine(const Graph& graph, const Node& batch_norm);

std::vector<double> to_doubles(const Tensor& tensor);
Tensor from_doubles(Dims dims, const std::vector<double>& values);

}  // namespace konv::passes
