// A flat index as the element offsets of strided arrays of equal sizes.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/params.h"

namespace konv::cuda {

/// Adds to `offset` what index `flat` of the sizes dims[0..rank) means under `strides`.
KONV_DEVICE std::int64_t walk(std::int64_t flat, std::int32_t rank, const std::int32_t* dims, const std::int64_t* strides) {
  std::int64_t offset = 0;
  for (std::int32_t d = rank - 1; d >= 0; --d) {
    offset += flat % dims[d] * strides[d];
    flat /= dims[d];
  }
  return offset;
}

}  // namespace konv::cuda
