// Convolutions of one input whose sum is one convolution. The arithmetic of fuse-repvgg, apart from finding them in a graph.
#pragma once

#include <optional>
#include <vector>

#include "engine/graph/infer.h"
#include "engine/passes/match.h"

namespace konv::passes {

/// Conv with or without a BatchNorm behind it. An identity is a depthwise 1x1 convolution of ones.
struct Branch {
  ValueId input, output;  ///< what is convolved, what reaches the sum
  NodeId conv;            ///< none: an identity
  Ints kernel, strides, dilations, pads_begin, pads_end;
  std::int64_t groups = 1, in_channels = 0, out_channels = 0;
  const Tensor* weight = nullptr;  ///< null: ones
  const Tensor* bias = nullptr;    ///< null: zeros
  std::optional<ChannelAffine> norm;

  std::int64_t taps() const;
};

/// The convolution `id` as a branch; nothing when it has an epilogue, weights known only at run time, or pads that depend on unknown sizes.
std::optional<Branch> conv_branch(const Graph& graph, NodeId id);

/// The branch that hands `value` on, seen as a convolution like `like`.
Branch identity_branch(const Branch& like, const Branch& identity);

/// Whether adding `small` into the kernel of `big` gives the sum of the two. Kernel taps must fall on taps of the big kernel when the images
/// are laid over each other; then no tap is added to `big` and the sum costs what `big` alone costs. Groups of `small` must lie within groups
/// of `big`: a dense kernel takes a grouped one in, never the other way round (it would have to grow).
bool fits_into(const Graph& graph, const Branch& small, const Branch& big);

struct MergedConv {
  Tensor weight;
  std::optional<Tensor> bias;  ///< absent when no branch has one
};

/// The sum of `big` and `others`, each of which fits into it.
MergedConv merge(const Branch& big, const std::vector<Branch>& others);

}  // namespace konv::passes
