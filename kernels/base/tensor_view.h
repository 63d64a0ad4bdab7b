// A tensor in memory as kernels see it.
#pragma once

#include <cstdint>

#include "kernels/base/dtype.h"

namespace konv {

inline constexpr int kMaxRank = 8;

/// Sizes and element strides, outermost first; `data` points at element (0, ..., 0), inside the halo if there is one.
/// A stride may be 0 (broadcast) or negative (reversed). Blocked images ([N][C/block][H][W][block]) keep their logical sizes
/// [N, C, H, W]; strides[1] then steps from block to block of channels and strides[3] equals `block`.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::float32;
  int rank = 0;
  std::int64_t dims[kMaxRank] = {};
  std::int64_t strides[kMaxRank] = {};
  int block = 1;

  float* f32() const { return static_cast<float*>(data); }
  std::int64_t count() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[i];
    return n;
  }
  bool dense() const {  ///< row-major without gaps
    std::int64_t expected = 1;
    for (int i = rank - 1; i >= 0; --i) {
      if (dims[i] != 1 && strides[i] != expected) return false;
      expected *= dims[i];
    }
    return block == 1;
  }
};

}  // namespace konv
