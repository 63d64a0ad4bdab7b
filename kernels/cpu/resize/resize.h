// Resampling: every output is a weighted sum of inputs, the weights a product of one factor per dimension.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

struct ResizeShape {
  DType dtype = DType::float32;
  std::int64_t rows = 0;   ///< outputs without the last dimension
  std::int64_t width = 0;  ///< outputs of the last dimension
  std::int64_t taps = 1;   ///< inputs behind one output
};

/// One dimension: output o is the sum over t of weight[o taps + t] times input index[o taps + t]; where `outside` is set, the extrapolation value.
struct ResizeAxisArgs {
  std::int64_t taps = 1;
  const std::int64_t* index = nullptr;
  const double* weight = nullptr;  ///< null: 1 (nearest)
  const std::uint8_t* outside = nullptr;
};

struct ResizeArgs {
  ResizeShape shape;
  TensorView in, out;  ///< dense
  ResizeAxisArgs axes[kMaxRank];
  double extrapolation = 0;
};

using ResizeCode = Code<ResizeShape, ResizeArgs>;
using ResizeKernel = Kernel<ResizeShape, ResizeCode>;
std::span<const ResizeKernel> resize_kernels();

}  // namespace konv
