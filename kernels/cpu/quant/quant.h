// Real numbers to integers and back: real = scale (stored - zero point).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

/// Dense data seen as [outer, size, inner]; scales run along `size`.
struct QuantizeShape {
  bool dequantize = false;  ///< integers to reals, else reals to integers
  DType in = DType::float32, out = DType::uint8, scale = DType::float32;
  std::int64_t outer = 1, size = 1, inner = 1;
  bool per_axis = false;   ///< one scale for each of `size`, else one for all
  std::int64_t block = 0;  ///< above 0: one scale for so many of `size`, and for each of outer and inner
};

/// Quantizing divides in float32, rounds to the nearest (ties to even), adds the zero point and saturates.
struct QuantizeArgs {
  QuantizeShape shape;
  TensorView in, out;      ///< dense
  TensorView scale, zero;  ///< dense, of one size; zero: data is null for 0
};

using QuantizeCode = Code<QuantizeShape, QuantizeArgs>;
using QuantizeKernel = Kernel<QuantizeShape, QuantizeCode>;
std::span<const QuantizeKernel> quantize_kernels();

/// out = (a - a_zero) (b - b_zero) in 32-bit integers, for every combination of the leading dimensions.
struct IntegerGemmShape {
  std::int64_t batch = 1, m = 0, n = 0, k = 0;
  DType a = DType::uint8, b = DType::uint8;
};

struct IntegerGemmArgs {
  IntegerGemmShape shape;
  TensorView a, b, out;       ///< [..., m, k], [..., k, n], [..., m, n] with the same leading sizes; zero strides broadcast
  TensorView a_zero, b_zero;  ///< one element, or one per row of a, per column of b; data is null for 0
};

using IntegerGemmCode = Code<IntegerGemmShape, IntegerGemmArgs>;
using IntegerGemmKernel = Kernel<IntegerGemmShape, IntegerGemmCode>;
std::span<const IntegerGemmKernel> integer_gemm_kernels();

}  // namespace konv
