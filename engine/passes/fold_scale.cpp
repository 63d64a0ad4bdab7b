// fold-scale:  Conv | ConvTranspose | Gemm -> Mul | Add | Sub | Div with a constant   =>   the same node with other weights
//
//   w' = w c, b' = b c        for a product;  b' = b + c  for a sum;  w' = -w, b' = c - b  for c - x
//
// The constant is one number, or one per channel (dimension 1 of the result). Matches at the node in front, which stays.

#include <cmath>

#include "engine/passes/fold_affine.h"
#include "engine/passes/list.h"

namespace konv::passes {

namespace {

/// The constant as one number per channel; nothing when it varies along another dimension.
std::optional<std::vector<double>> per_channel(const Tensor& constant, const Shape& result) {
  const std::size_t rank = result.size(), missing = rank - std::min(rank, constant.dims.size());
  if (constant.dims.size() > rank || rank < 2 || !result[1].known()) return {};
  for (std::size_t i = 0; i < constant.dims.size(); ++i) {
    const bool channels = missing + i == 1 && constant.dims[i] == result[1].value();
    if (constant.dims[i] != 1 && !channels) return {};
  }
  std::vector<double> values = to_doubles(constant);
  if (values.size() == 1) values.assign(static_cast<std::size_t>(result[1].value()), values[0]);
  return values;
}

/// What the node does to x, per channel; nothing for 1 / x and for factors that are no numbers.
std::optional<ChannelAffine> affine_of(BinaryKind kind, bool constant_first, const std::vector<double>& c) {
  ChannelAffine affine{std::vector<double>(c.size(), 1.0), std::vector<double>(c.size(), 0.0)};
  for (std::size_t i = 0; i < c.size(); ++i) {
    double &scale = affine.scale[i], &shift = affine.shift[i];
    switch (kind) {
      case BinaryKind::mul: scale = c[i]; break;
      case BinaryKind::add: shift = c[i]; break;
      case BinaryKind::sub:
        scale = constant_first ? -1 : 1;
        shift = constant_first ? c[i] : -c[i];
        break;
      case BinaryKind::div:
        if (constant_first) return {};
        scale = 1 / c[i];
        break;
      default: return {};
    }
    if (!std::isfinite(scale) || !std::isfinite(shift)) return {};
  }
  return affine;
}

}  // namespace

std::optional<Edit> fold_scale(const Graph& graph, NodeId id, const Context&) {
  const NodeId reader = reader_to_fold(graph, id);
  const auto* binary = graph.as<Binary>(reader);
  if (!binary || binary->activation.kind != ActivationKind::none) return {};  // the activation has a place of its own, later
  const Node& node = graph.node(reader);
  const bool constant_first = node.input(Binary::kB) == graph.node(id).output();
  const ValueId other = node.input(constant_first ? Binary::kA : Binary::kB);
  const Tensor* constant = plain_weights(graph, other);
  const std::optional<Shape>& shape = graph.value(graph.node(id).output()).shape;
  if (!constant || !shape) return {};
  const std::optional<std::vector<double>> values = per_channel(*constant, *shape);
  if (!values) return {};
  const std::optional<ChannelAffine> affine = affine_of(binary->kind, constant_first, *values);
  if (!affine) return {};
  return fold_affine(graph, id, *affine, reader, other);
}

}  // namespace konv::passes
