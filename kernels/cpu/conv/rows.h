// Which weights of a convolution say something: counted once, by the plan and by the kernels that leave the others out. Ungrouped convolutions only.
#pragma once

#include <cstdint>

#include "kernels/base/conv_shape.h"

namespace konv {

/// Whether some output channel has a weight other than 0 for K row `row` (input channel, tap).
static inline bool reads_row(const ConvShape& s, const float* weight, std::int64_t row) {
  for (std::int64_t o = 0; o < s.out_channels; ++o) {
    if (weight[o * s.k() + row] != 0) return true;
  }
  return false;
}

static inline std::int64_t count_rows(const ConvShape& s, const float* weight) {
  std::int64_t count = 0;
  for (std::int64_t row = 0; row < s.k(); ++row) count += reads_row(s, weight, row);
  return count;
}

/// Weights other than 0 where most are 0, else -1. Where the first thousand are not, the others are not looked at.
static inline std::int64_t count_nonzeros(const ConvShape& s, const float* weight) {
  const std::int64_t all = s.weight_count(), first = all < 1024 ? all : 1024;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < all; ++i) {
    if (i == first && 2 * count > first) return -1;
    count += weight[i] != 0;
  }
  return 2 * count > all ? -1 : count;
}

}  // namespace konv
