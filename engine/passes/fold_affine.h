// A factor and a summand per channel, taken into the weights of the node in front. Only files of this folder include this.
#pragma once

#include <optional>

#include "engine/graph/edit.h"
#include "engine/passes/match.h"

namespace konv::passes {

/// A Conv, ConvTranspose or Gemm whose result is multiplied and added to by its only reader, with constant weights: the edit that folds `affine` into them
/// and redirects the reader's result to the node's. `shift` gives a new bias its name. Nothing when the weights or the bias are not constant.
///
///   w'[o] = w[o] scale[o]        b'[o] = b[o] scale[o] + shift[o]
///
/// In double precision, rounded once.
std::optional<Edit> fold_affine(const Graph& graph, NodeId id, const ChannelAffine& affine, NodeId reader, ValueId shift);

/// A Conv, ConvTranspose or Gemm that is open to it: no activation, no residual, one reader, no quantization in between. Returns the reader.
NodeId reader_to_fold(const Graph& graph, NodeId id);

}  // namespace konv::passes
