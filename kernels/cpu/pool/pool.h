// Max and average pooling over two spatial dimensions.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/layout.h"
#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

struct PoolShape {
  bool average = false;            ///< else max
  bool count_include_pad = false;  ///< average: padding counts in the divisor (what lies beyond the padding never does)
  std::int64_t batch = 1, channels = 0;
  std::int64_t in_h = 0, in_w = 0, out_h = 0, out_w = 0;
  std::int64_t kernel_h = 1, kernel_w = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  int block = 1;  ///< channels that lie together in input and output; 1 = plain
};

struct PoolArgs {
  PoolShape shape;
  TensorView in, out;  ///< [N, C, H, W]; max pooling never reads a halo
};

using PoolCode = Code<PoolShape, PoolArgs>;
using PoolKernel = Kernel<PoolShape, PoolCode>;
std::span<const PoolKernel> pool_kernels();

}  // namespace konv
