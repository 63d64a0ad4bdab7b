// Integer work beside convolution: between real numbers and integers of any scale, sums of two tensors, pooling. All end in requantize.h.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/integer/requantize.h"
#include "kernels/cpu/kernel.h"
#include "kernels/cpu/pool/pool.h"

namespace konv {

/// An image in blocks of channels, 1 = plain; tensors that are no images are one row of one channel.
struct ImageShape {
  std::int64_t batch = 1, channels = 1, height = 1, width = 1;
  std::int64_t count() const { return batch * channels * height * width; }
};

/// Quantize, dequantize, and from one scale to another.
///   float to integer     v = x / divisor
///   integer to float     v = float(x - in_zero) multiplier
///   integer to integer   the same v, multiplier being in_scale / out_scale
struct RequantizeShape {
  ImageShape image;
  DType in = DType::float32, out = DType::uint8;  ///< float32, uint8 or int16
  int in_block = 1, out_block = 1;
};

struct RequantizeArgs {
  RequantizeShape shape;
  TensorView in, out;
  float divisor = 1, multiplier = 1;
  std::int32_t in_zero = 0;
  Requantize output;
};

using RequantizeCode = Code<RequantizeShape, RequantizeArgs>;
using RequantizeKernel = Kernel<RequantizeShape, RequantizeCode>;
std::span<const RequantizeKernel> requantize_kernels();

/// v = float(a - a_zero) a_multiplier + float(b - residual_zero) residual_multiplier; all three lie alike.
struct IntegerAddShape {
  ImageShape image;
  DType in = DType::uint8, out = DType::uint8;
  int block = 1;
};

struct IntegerAddArgs {
  IntegerAddShape shape;
  TensorView a, b, out;
  float multiplier = 1;
  std::int32_t zero = 0;
  Requantize output;  ///< b is its residual
};

using IntegerAddCode = Code<IntegerAddShape, IntegerAddArgs>;
using IntegerAddKernel = Kernel<IntegerAddShape, IntegerAddCode>;
std::span<const IntegerAddKernel> integer_add_kernels();

/// Max: v = float(max - in_zero) multiplier. Average: v = float(sum of (x - in_zero)) (multiplier / float(divisor)).
struct IntegerPoolShape {
  PoolShape pool;  ///< its block is the input's
  DType in = DType::uint8, out = DType::uint8;
  int out_block = 1;
};

struct IntegerPoolArgs {
  IntegerPoolShape shape;
  TensorView in, out;
  float multiplier = 1;
  std::int32_t in_zero = 0;
  Requantize output;
};

using IntegerPoolCode = Code<IntegerPoolShape, IntegerPoolArgs>;
using IntegerPoolKernel = Kernel<IntegerPoolShape, IntegerPoolCode>;
std::span<const IntegerPoolKernel> integer_pool_kernels();

}  // namespace konv
