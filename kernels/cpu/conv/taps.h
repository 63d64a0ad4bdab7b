// Where the taps of a convolution read.
// Functions are static: units compiled for an instruction set must not export them.
#pragma once

#include <cstdint>

#include "kernels/base/conv_shape.h"
#include "kernels/base/tensor_view.h"

namespace konv {

/// The distances of all taps from a pixel's first float, each plus `from`; returns the end of what it wrote.
static inline std::int64_t* set_taps(const ConvShape& s, const TensorView& in, std::int64_t from, std::int64_t* taps) {
  for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
    for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) *taps++ = from + ky * s.dilation_h * in.strides[2] + kx * s.dilation_w * in.strides[3];
  }
  return taps;
}

}  // namespace konv
