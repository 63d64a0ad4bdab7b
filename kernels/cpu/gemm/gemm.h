// Matrix products: out = activation(alpha a b + beta c), for every combination of the leading (batch) dimensions.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/activation.h"
#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

struct GemmShape {
  std::int64_t batch = 1;  ///< product of the leading dimensions
  std::int64_t m = 0, n = 0, k = 0;
  bool has_c = false;
  bool unit_stride_a = true;  ///< one of the last two strides of a (b, out) is 1; a transpose is a swap of strides
  bool unit_stride_b = true;
  bool unit_stride_out = true;
  bool k_innermost = false;  ///< a and b both have unit stride along k
  bool constant_b = false;   ///< one matrix for the whole batch, which may be packed, and a has unit stride along k

  std::int64_t macs() const { return batch * m * n * k; }
};

struct GemmArgs {
  GemmShape shape;
  TensorView a;    ///< [..., m, k]
  TensorView b;    ///< [..., k, n]
  TensorView c;    ///< [..., m, n] broadcast by zero strides; data is null when there is none
  TensorView out;  ///< [..., m, n]; all four have the same rank and leading sizes
  float alpha = 1, beta = 1;
  Activation activation;
};

struct GemmCode : Code<GemmShape, GemmArgs> {
  DType b_type = DType::float32;  ///< bfloat16: b is as pack_columns() leaves it
};
using GemmKernel = Kernel<GemmShape, GemmCode>;
std::span<const GemmKernel> gemm_kernels();

/// b [k, n] rounded to bfloat16, column by column.
void pack_columns(const TensorView& b, std::uint16_t* packed);

/// What a view of such a b is.
TensorView packed_columns(const TensorView& b, const void* packed);

}  // namespace konv
