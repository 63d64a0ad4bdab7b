// fuse-pad:  Pad(zeros) -> Conv   =>   Conv with more padding
//
// Frameworks that know only symmetric padding export the rest as a Pad of its own.

#include <algorithm>

#include "engine/passes/list.h"
#include "engine/passes/match.h"

namespace konv::passes {

std::optional<Edit> fuse_pad(const Graph& graph, NodeId id, const Context&) {
  const auto* conv = graph.as<Conv>(id);
  if (!conv) return {};
  const Node& node = graph.node(id);
  const Node* padded = graph.producer_as<Pad>(node.input(Conv::kInput));
  if (!padded) return {};
  const auto& pad = std::get<Pad>(padded->op);
  if (pad.mode != PadMode::constant || pad.value != 0 || padded->input(Pad::kValue)) return {};  // convolutions pad with zeros
  if (padded->input(Pad::kAxes)) return {};                                                      // fold-constants cannot tell which
  if (conv->window.auto_pad == AutoPad::same_upper || conv->window.auto_pad == AutoPad::same_lower)
    return {};                                                        // depends on the padded size
  if (graph.value(node.input(Conv::kInput)).quantization) return {};  // zero may be another number
  const Tensor* amounts = graph.constant(padded->input(Pad::kPads));
  if (!amounts || amounts->dims.size() != 1 || amounts->count() < 6 || amounts->count() % 2 != 0) return {};
  const Ints pads = to_i64(*amounts);
  const std::size_t rank = pads.size() / 2, spatial = rank - 2;
  const std::size_t batch_or_channels[] = {0, 1, rank, rank + 1};
  if (std::any_of(std::begin(batch_or_channels), std::end(batch_or_channels), [&](std::size_t i) { return pads[i] != 0; })) return {};
  if (std::any_of(pads.begin(), pads.end(), [](std::int64_t p) { return p < 0; })) return {};  // crops

  Conv op = *conv;
  const bool listed = op.window.auto_pad == AutoPad::explicit_pads && !op.window.pads.empty();
  op.window.auto_pad = AutoPad::explicit_pads;
  if (!listed) op.window.pads.assign(2 * spatial, 0);
  if (op.window.pads.size() != 2 * spatial) return {};
  for (std::size_t i = 0; i < spatial; ++i) {
    op.window.pads[i] += pads[2 + i];
    op.window.pads[spatial + i] += pads[rank + 2 + i];
  }
  std::vector<ValueId> inputs = node.inputs;
  inputs[Conv::kInput] = padded->input(Pad::kInput);
  Edit edit(graph);
  edit.replace(id, op, inputs);
  return edit;
}

}  // namespace konv::passes
