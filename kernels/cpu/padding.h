// The halo of kernels that read their padding as zeros around the image.
#pragma once

#include "kernels/base/conv_shape.h"
#include "kernels/base/layout.h"

namespace konv {

/// As wide as the padding: the last window may end before it does (stride), never behind it.
static inline Halo padding_halo(const ConvShape& s) {
  return {static_cast<int>(s.pad_top), static_cast<int>(s.pad_left), static_cast<int>(s.pad_bottom), static_cast<int>(s.pad_right)};
}

}  // namespace konv
