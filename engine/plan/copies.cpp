#include "engine/plan/copies.h"

#include <algorithm>

namespace konv::plan {
namespace {

/// The only piece of a copy that does nothing but take part of its blocked input; null for other steps.
const BlockedPiece* part_of_input(const Step& step) {
  const auto* copy = std::get_if<CopyStep>(&step.work);
  return copy && copy->pieces.empty() && !copy->fill_first && copy->blocked.size() == 1 ? &copy->blocked.front() : nullptr;
}

bool reads_blocks(const Step& step) {
  const auto* copy = std::get_if<CopyStep>(&step.work);
  return copy && copy->pieces.empty() && copy->blocked.size() == 1;
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
    const BlockedPiece* part = part_of_input(*first);
    const bool alone = part && readers[static_cast<std::size_t>(first->output)] == 1;
    const auto second = alone ? std::find_if(first, plan.steps.end(), reads_it) : plan.steps.end();
    if (second == plan.steps.end() || !reads_blocks(*second)) {
      kept.push_back(std::move(*first));
      continue;
    }
    BlockedPiece& piece = std::get<CopyStep>(second->work).blocked.front();
    for (std::size_t i = 0; i < piece.in_first.size(); ++i) {
      piece.in_first[i] = part->in_first[i] + piece.in_first[i] * part->in_step[i];
      piece.in_step[i] *= part->in_step[i];
    }
    second->inputs = first->inputs;
    second->nodes.insert(second->nodes.begin(), first->nodes.begin(), first->nodes.end());
  }
  plan.steps = std::move(kept);
}

}  // namespace konv::plan
