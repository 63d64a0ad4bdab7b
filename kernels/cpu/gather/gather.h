// Gather: out[outer, i, inner] = data[outer, indices[i], inner].
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

struct GatherShape {
  std::int64_t outer = 1, axis_size = 0, indices = 0, inner = 1;
  int element_bytes = 4;
};

struct GatherArgs {
  GatherShape shape;
  TensorView data, indices, out;  ///< dense; indices int32 or int64, negative ones count from the back, out-of-range ones are clamped
};

using GatherCode = Code<GatherShape, GatherArgs>;
using GatherKernel = Kernel<GatherShape, GatherCode>;
std::span<const GatherKernel> gather_kernels();

}  // namespace konv
