// Normalization by the statistics of the data itself, and by neighbouring channels.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

/// Dense data seen as [rows, size]: every row gets mean 0 and variance 1, then gamma and beta.
struct NormalizeShape {
  std::int64_t rows = 0, size = 0;
  std::int64_t channels = 0;  ///< gamma and beta: one per row, the rows counted modulo this; 0 = one per element of a row
};

struct NormalizeArgs {
  NormalizeShape shape;
  TensorView in, out;         ///< dense float32
  const float *gamma, *beta;  ///< beta may be null
  float epsilon;
};

using NormalizeCode = Code<NormalizeShape, NormalizeArgs>;
using NormalizeKernel = Kernel<NormalizeShape, NormalizeCode>;
std::span<const NormalizeKernel> normalize_kernels();

/// out = in / (bias + alpha / size * sum in^2)^beta, the sum over `size` neighbouring channels (the odd one behind).
struct LrnShape {
  std::int64_t batch = 0, channels = 0, pixels = 0, size = 1;
};

struct LrnArgs {
  LrnShape shape;
  TensorView in, out;  ///< dense float32
  float alpha, beta, bias;
};

using LrnCode = Code<LrnShape, LrnArgs>;
using LrnKernel = Kernel<LrnShape, LrnCode>;
std::span<const LrnKernel> lrn_kernels();

}  // namespace konv
