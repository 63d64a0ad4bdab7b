// Softmax, with the maximum subtracted first.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

/// Dense data seen as [outer, size, inner]; sums run over `size`.
struct SoftmaxShape {
  std::int64_t outer = 1, size = 0, inner = 1;
  bool log = false;  ///< the logarithm of it
};

struct SoftmaxArgs {
  SoftmaxShape shape;
  TensorView in, out;  ///< dense
};

using SoftmaxCode = Code<SoftmaxShape, SoftmaxArgs>;
using SoftmaxKernel = Kernel<SoftmaxShape, SoftmaxCode>;
std::span<const SoftmaxKernel> softmax_kernels();

}  // namespace konv
