// Picks a kernel from a list: the cheapest of those that the machine runs and that do not refuse.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "engine/plan/plan.h"

namespace konv::plan {

template <class K>
struct Choice {
  const K* kernel = nullptr;  ///< null when every one refused
  double cost = 0;
  std::vector<Candidate> others;
};

/// The machine as code for `isa` sees it: narrower vectors compute less.
inline Machine with_isa(Machine machine, Isa isa) {
  machine.flops *= static_cast<double>(lanes(isa)) / lanes(machine.isa);
  machine.isa = isa;
  return machine;
}

/// `reject(kernel)` may add reasons of the plan's own (memory, layout) to the kernel's; null means none. `extra(kernel)` seconds are what else the choice
/// would cost (reordered inputs).
template <class K, class Shape, class Reject, class Extra>
Choice<K> choose(std::span<const K> kernels, const Shape& shape, const Machine& machine, Reject reject, Extra extra) {
  Choice<K> choice;
  double best_total = 0;
  std::vector<Candidate> all;
  std::size_t best = 0;
  for (const K& kernel : kernels) {
    Candidate candidate{kernel.name, {}, 0};
    if (kernel.isa > machine.isa) {
      candidate.refused = fmt::format("needs {}", name(kernel.isa));
    } else if (const char* reason = kernel.refuse(shape)) {
      candidate.refused = reason;
    } else if (const char* own = reject(kernel)) {
      candidate.refused = own;
    } else {
      candidate.cost = kernel.cost(shape, with_isa(machine, kernel.isa));
      const double total = candidate.cost + extra(kernel);
      if (!choice.kernel || total < best_total) {
        best_total = total;
        choice.kernel = &kernel;
        choice.cost = candidate.cost;
        best = all.size();
      }
    }
    all.push_back(std::move(candidate));
  }
  if (choice.kernel) all.erase(all.begin() + static_cast<std::ptrdiff_t>(best));
  choice.others = std::move(all);
  return choice;
}

template <class K, class Shape>
Choice<K> choose(std::span<const K> kernels, const Shape& shape, const Machine& machine) {
  return choose(
      kernels, shape, machine, [](const K&) -> const char* { return nullptr; }, [](const K&) { return 0.0; });
}

/// "conv_a: stride is not 1; conv_b: grouped": why nothing ran.
inline std::string reasons(const std::vector<Candidate>& candidates) {
  std::string text;
  for (const Candidate& c : candidates) text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", c.kernel, c.refused);
  return text;
}

}  // namespace konv::plan
