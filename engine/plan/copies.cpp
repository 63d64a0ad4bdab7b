#include "engine/plan/copies.h"

#include <algorithm>

namespace konv::plan {
namespace {

/// A copy of one part of its blocked input; null for other steps.
CopyStep* copy_of_part(Step& step) {
  auto* copy = std::get_if<CopyStep>(&step.work);
  return copy && copy->pieces.empty() && copy->blocked.size() == 1 ? copy : nullptr;
}

}  // namespace

void join_copies(Plan& plan) {
  std::vector<int> readers(plan.values.size(), 0);
  const auto count = [&](int value) {
    if (value >= 0) ++readers[static_cast<std::size_t>(value)];
  };
  for (const Step& step : plan.steps) std::for_each(step.inputs.begin(), step.inputs.end(), count);
  for (const Value& value : plan.values) count(value.parent);
  std::for_each(plan.outputs.begin(), plan.outputs.end(), count);

  std::vector<Step> kept;
  for (auto first = plan.steps.begin(); first != plan.steps.end(); ++first) {  // readers come later, so chains join from the front
    const auto reads_it = [&](const Step& step) { return step.inputs == std::vector{first->output}; };
    const CopyStep* from = copy_of_part(*first);
    const bool alone = from && !from->fill_first && readers[static_cast<std::size_t>(first->output)] == 1;
    const auto second = alone ? std::find_if(first, plan.steps.end(), reads_it) : plan.steps.end();
    CopyStep* to = second == plan.steps.end() ? nullptr : copy_of_part(*second);
    if (!to) {
      kept.push_back(std::move(*first));
      continue;
    }
    const BlockedPiece& part = from->blocked.front();
    BlockedPiece& piece = to->blocked.front();
    for (std::size_t i = 0; i < piece.in_first.size(); ++i) {
      piece.in_first[i] = part.in_first[i] + piece.in_first[i] * part.in_step[i];
      piece.in_step[i] *= part.in_step[i];
    }
    second->inputs = first->inputs;
    second->nodes.insert(second->nodes.begin(), first->nodes.begin(), first->nodes.end());
  }
  plan.steps = std::move(kept);
}

}  // namespace konv::plan
