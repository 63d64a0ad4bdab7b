#include "engine/passes/fold_affine.h"

namespace konv::passes {

namespace {

/// A node with the factors folded into its weights; the other inputs stay.
struct Folded {
  Op op;
  Tensor weight;
  std::vector<double> bias;
};

template <class ChannelOf>
Tensor scaled(const Tensor& weight, const std::vector<double>& scale, ChannelOf channel_of) {
  std::vector<double> values = to_doubles(weight);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= scale[channel_of(i)];
  return from_doubles(weight.dims, values);
}

/// The bias as one number per channel; nothing when it is not constant or differs from row to row (Gemm's C).
std::optional<std::vector<double>> bias_of(const Graph& graph, ValueId id, std::size_t channels) {
  if (!id) return std::vector<double>(channels, 0.0);
  const Tensor* bias = plain_weights(graph, id);
  if (!bias) return {};
  const std::vector<double> values = to_doubles(*bias);
  if (values.size() == 1) return std::vector<double>(channels, values[0]);
  if (values.size() != channels || bias->dims.back() != static_cast<std::int64_t>(channels)) return {};
  return values;
}

std::optional<Folded> folded(const Conv& conv, const Tensor& weight, std::vector<double> bias, const ChannelAffine& norm) {
  const std::size_t row = weight.f32().size() / norm.scale.size();
  return Folded{conv, scaled(weight, norm.scale, [&](std::size_t i) { return i / row; }), std::move(bias)};
}

// weight [in_channels, out_channels / groups, kernel...]
std::optional<Folded> folded(const ConvTranspose& conv, const Tensor& weight, std::vector<double> bias, const ChannelAffine& norm) {
  const auto in = static_cast<std::size_t>(weight.dims[0]), group_out = static_cast<std::size_t>(weight.dims[1]);
  const std::size_t group_in = in / static_cast<std::size_t>(conv.groups), taps = weight.f32().size() / in / group_out;
  const auto channel_of = [&](std::size_t i) {
    const std::size_t c = i / taps / group_out, o = i / taps % group_out;
    return c / group_in * group_out + o;
  };
  return Folded{conv, scaled(weight, norm.scale, channel_of), std::move(bias)};
}

// activation(alpha A B + beta C): beta moves into C, alpha stays.
std::optional<Folded> folded(const Gemm& gemm, const Tensor& weight, std::vector<double> bias, const ChannelAffine& norm) {
  const auto columns = static_cast<std::size_t>(weight.dims[1]);
  const auto channel_of = [&](std::size_t i) { return gemm.transpose_b ? i / columns : i % columns; };
  for (double& b : bias) b *= static_cast<double>(gemm.beta);
  Gemm op = gemm;
  op.beta = 1;
  return Folded{op, scaled(weight, norm.scale, channel_of), std::move(bias)};
}

}  // namespace

NodeId reader_to_fold(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool foldable = graph.as<Conv>(id) || graph.as<ConvTranspose>(id) || graph.as<Gemm>(id);
  if (!foldable) return {};
  Op op = node.op;
  if (epilogue(op)->kind != ActivationKind::none) return {};         // the factor comes after the activation
  if (graph.as<Conv>(id) && node.input(Conv::kResidual)) return {};  // the factor scales the residual too
  const NodeId reader = only_reader(graph, node.output());           // or somebody else needs the value before it
  if (!reader || !is_plain_float(graph, node.output()) || !is_plain_float(graph, graph.node(reader).output())) return {};  // quantized
  return reader;
}

std::optional<Edit> fold_affine(const Graph& graph, NodeId id, const ChannelAffine& affine, NodeId reader, ValueId shift) {
  static_assert(Conv::kWeight == Gemm::kB && Conv::kBias == Gemm::kC && Conv::kWeight == ConvTranspose::kWeight);
  const Node& node = graph.node(id);
  const Tensor* weight = plain_weights(graph, node.input(Conv::kWeight));
  if (!weight) return {};  // known only at run time
  std::optional<std::vector<double>> bias = bias_of(graph, node.input(Conv::kBias), affine.scale.size());
  if (!bias) return {};

  std::optional<Folded> result;
  if (const auto* conv = graph.as<Conv>(id)) result = folded(*conv, *weight, *bias, affine);
  if (const auto* conv = graph.as<ConvTranspose>(id)) result = folded(*conv, *weight, *bias, affine);
  if (const auto* gemm = graph.as<Gemm>(id)) result = folded(*gemm, *weight, *bias, affine);
  for (std::size_t c = 0; c < affine.scale.size(); ++c) result->bias[c] = result->bias[c] * affine.scale[c] + affine.shift[c];

  Edit edit(graph);
  const ValueId bias_name = node.input(Conv::kBias) ? node.input(Conv::kBias) : shift;
  const ValueId new_weight = edit.constant(folded_name(graph, node.input(Conv::kWeight)), result->weight);
  const ValueId new_bias = edit.constant(folded_name(graph, bias_name), from_doubles({std::ssize(result->bias)}, result->bias));
  edit.replace(id, result->op, {node.input(0), new_weight, new_bias});
  edit.redirect(graph.node(reader).output(), node.output());
  return edit;
}

}  // namespace konv::passes
