// Kernels by the name a plan gives them.
#pragma once

#include <span>
#include <string>

#include <konv/error.hpp>

#include "engine/plan/plan.h"

namespace konv::run {

template <class K>
const K& find_kernel(std::span<const K> kernels, const plan::Step& step) {
  for (const K& kernel : kernels) {
    if (step.kernel == kernel.name) return kernel;
  }
  throw Error("step '" + step.name + "': the plan wants kernel '" + step.kernel +
              "', which this build does not have; expected a plan made by this build");
}

}  // namespace konv::run
