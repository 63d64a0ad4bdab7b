// The leading dimensions of a matrix product.
#pragma once

#include "kernels/cpu/gemm/gemm.h"

namespace konv {

/// The offset of matrix `index` of a view's leading dimensions, which `a` (of the same sizes) counts.
static inline std::int64_t matrix_offset(const TensorView& view, std::int64_t index) {
  std::int64_t offset = 0;
  for (int d = view.rank - 3; d >= 0; --d) {
    offset += index % view.dims[d] * view.strides[d];
    index /= view.dims[d];
  }
  return offset;
}

static inline std::int64_t row_stride(const TensorView& v) { return v.strides[v.rank - 2]; }
static inline std::int64_t column_stride(const TensorView& v) { return v.strides[v.rank - 1]; }

}  // namespace konv
