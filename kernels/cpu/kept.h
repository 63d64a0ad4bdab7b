// What pruning has left of a convolution's K rows (one input channel of one tap each), as packings hold it: chunks turn it into distances without dividing.
#pragma once

#include <cstdint>

#include "kernels/base/tensor_view.h"

namespace konv {

/// One K row of an image in blocks of channels, or the first of a quad of them (integer kernels).
struct KeptRow {
  std::int32_t block;  ///< of input channels
  std::int16_t row, column, lane, unused;
};

/// Writes how far every kept row's input lies from a pixel's first element, in units of `unit` elements.
static inline void write_offsets(const KeptRow* kept, std::int64_t count, const TensorView& in, std::int64_t dilation_h,
                                 std::int64_t dilation_w, std::int64_t unit, std::int32_t* to) {
  const std::int64_t row = dilation_h * in.strides[2], column = dilation_w * in.strides[3];
  for (std::int64_t i = 0; i < count; ++i) {
    const KeptRow& k = kept[i];
    to[i] = static_cast<std::int32_t>((k.block * in.strides[1] + k.row * row + k.column * column + k.lane) / unit);
  }
}

}  // namespace konv
