// What the sum of an average pooling window is divided by.
#pragma once

#include "kernels/cpu/pool/pool.h"
#include "kernels/cpu/tiling.h"

namespace konv {

/// Taps of the window that begins at `start` which lie in [low, high).
static inline std::int64_t taps_within(std::int64_t start, std::int64_t kernel, std::int64_t dilation, std::int64_t low,
                                       std::int64_t high) {
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < kernel; ++k) {
    const std::int64_t at = start + k * dilation;
    count += at >= low && at < high;
  }
  return count;
}

static inline std::int64_t divisor_rows(const PoolShape& s, std::int64_t y) {
  const std::int64_t top = s.count_include_pad ? s.pad_top : 0, bottom = s.count_include_pad ? s.pad_bottom : 0;
  return taps_within(y * s.stride_h - s.pad_top, s.kernel_h, s.dilation_h, -top, s.in_h + bottom);
}

static inline std::int64_t divisor_columns(const PoolShape& s, std::int64_t x) {
  const std::int64_t left = s.count_include_pad ? s.pad_left : 0, right = s.count_include_pad ? s.pad_right : 0;
  return taps_within(x * s.stride_w - s.pad_left, s.kernel_w, s.dilation_w, -left, s.in_w + right);
}

}  // namespace konv
