// Why convolution kernels do not apply. Plain code: it runs on any CPU, for any CPU.
#pragma once

#include <cstdint>

#include "kernels/base/conv_shape.h"

namespace konv {

inline const char* refuse_nothing(const ConvShape&) { return nullptr; }

inline const char* refuse_pointwise(const ConvShape& s) {
  if (s.kernel_h != 1 || s.kernel_w != 1) return "kernel is not 1x1";
  if (s.stride_h != 1 || s.stride_w != 1) return "stride is not 1";
  if (s.pad_top || s.pad_left || s.pad_bottom || s.pad_right) return "padded";
  return nullptr;
}

inline const char* refuse_depthwise(const ConvShape& s) {
  if (s.groups != s.in_channels) return "groups differ from input channels";
  return nullptr;
}

/// It keeps whole rows of every input channel of a group in its workspace, and walks all weights for each of them.
inline const char* refuse_direct(const ConvShape& s) {
  if (s.groups == s.in_channels && s.groups > 1) return "depthwise";
  if (s.group_in() > 64) return "more than 64 input channels per group";
  return nullptr;
}

}  // namespace konv
