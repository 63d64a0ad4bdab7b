// fold-leading-batch-norm:  BatchNorm -> Conv   =>   Conv with other weights
//
//   w'[o][i] = w[o][i] s[i]        b'[o] = b[o] + sum over i and taps of w[o][i] t[i]        (the norm is s x + t)
//
// Only where the convolution pads nothing, or the norm adds nothing (t = 0): padding is zero before the norm is folded and was t before.

#include <algorithm>

#include "engine/passes/list.h"
#include "engine/passes/match.h"

namespace konv::passes {

namespace {

bool pads_nothing(const Window& window) {
  if (window.auto_pad == AutoPad::valid) return true;
  if (window.auto_pad != AutoPad::explicit_pads) return false;
  return std::all_of(window.pads.begin(), window.pads.end(), [](std::int64_t p) { return p == 0; });
}

}  // namespace

std::optional<Edit> fold_leading_batch_norm(const Graph& graph, NodeId id, const Context&) {
  const auto* conv = graph.as<Conv>(id);
  if (!conv) return {};
  const Node& node = graph.node(id);
  const ValueId normed = node.input(Conv::kInput);
  const Node* norm = graph.producer_as<BatchNorm>(normed);
  if (!norm || !only_reader(graph, normed) || !is_plain_float(graph, normed)) return {};
  const std::optional<ChannelAffine> affine = channel_affine(graph, *norm);
  const Tensor* weight = plain_weights(graph, node.input(Conv::kWeight));
  if (!affine || !weight) return {};
  const bool adds_nothing = std::all_of(affine->shift.begin(), affine->shift.end(), [](double t) { return t == 0; });
  if (!adds_nothing && !pads_nothing(conv->window)) return {};

  const auto outputs = static_cast<std::size_t>(weight->dims[0]), group_in = static_cast<std::size_t>(weight->dims[1]);
  const std::size_t taps = weight->f32().size() / outputs / group_in, group_out = outputs / static_cast<std::size_t>(conv->groups);
  std::vector<double> bias(outputs, 0.0);
  if (node.input(Conv::kBias)) {
    const Tensor* given = plain_weights(graph, node.input(Conv::kBias));
    if (!given) return {};
    bias = to_doubles(*given);
  }
  std::vector<double> values = to_doubles(*weight);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t o = i / taps / group_in, channel = o / group_out * group_in + i / taps % group_in;
    bias[o] += values[i] * affine->shift[channel];
    values[i] *= affine->scale[channel];
  }
  const ValueId bias_name = node.input(Conv::kBias) ? node.input(Conv::kBias) : norm->input(BatchNorm::kBeta);
  Edit edit(graph);
  std::vector<ValueId> inputs = node.inputs;
  inputs.resize(std::max<std::size_t>(inputs.size(), Conv::kBias + 1));
  inputs[Conv::kInput] = norm->input(BatchNorm::kInput);
  inputs[Conv::kWeight] = edit.constant(folded_name(graph, node.input(Conv::kWeight)), from_doubles(weight->dims, values));
  inputs[Conv::kBias] = edit.constant(folded_name(graph, bias_name), from_doubles({std::ssize(bias)}, bias));
  edit.replace(id, *conv, inputs);
  return edit;
}

}  // namespace konv::passes
