// Convolutions below, at and above the edges of every kernel's tiles.
#pragma once

#include <vector>

#include "kernels/base/activation.h"
#include "kernels/base/conv_shape.h"

namespace konv::test {

struct ConvCase {
  ConvShape shape;
  Activation activation;
  bool bias = true, residual = false;
  double pruned = 0;  ///< share of K groups whose weights are zero
};

inline ConvShape conv(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w, std::int64_t out, std::int64_t kernel,
                      std::int64_t stride = 1) {
  const std::int64_t pad = kernel / 2;
  return {.batch = n,
          .in_channels = c,
          .in_h = h,
          .in_w = w,
          .out_channels = out,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride_h = stride,
          .stride_w = stride,
          .pad_top = pad,
          .pad_left = pad,
          .pad_bottom = pad,
          .pad_right = pad};
}

inline ConvShape grouped(ConvShape s, std::int64_t groups) {
  s.groups = groups;
  return s;
}

inline std::vector<ConvCase> conv_cases() {
  const Activation relu{ActivationKind::relu, 0, 0}, silu{ActivationKind::silu, 0, 0}, clip{ActivationKind::clip, 0, 6},
      sigmoid{ActivationKind::sigmoid, 0, 0};
  ConvShape odd = conv(2, 20, 9, 11, 37, 3, 2);
  odd.kernel_w = 2;
  odd.dilation_h = 2;
  odd.pad_bottom = 3;
  odd.pad_left = 0;
  ConvShape first_odd = conv(1, 3, 13, 70, 11, 5, 2);
  first_odd.dilation_w = 2;
  first_odd.pad_right = 0;
  ConvShape same_pad_less = conv(1, 32, 7, 7, 32, 3);
  same_pad_less.pad_top = 0;
  return {
      // halo: tiles of 16 x 8
      {conv(1, 16, 8, 16, 16, 3), relu, true, true},
      {conv(2, 16, 9, 17, 16, 3), {}, false, false},
      {conv(1, 16, 1, 1, 16, 3), silu, true, false},
      {conv(1, 32, 7, 15, 32, 3), relu, true, true},
      {conv(2, 32, 9, 17, 32, 3), {}, true, false},
      {conv(1, 64, 8, 16, 64, 3), relu, false, true},
      {conv(1, 64, 9, 5, 64, 3), sigmoid, true, true},
      // gemm: tiles of 32, 64 and 128 pixels and channels, even and odd numbers of K groups
      {conv(1, 64, 16, 16, 128, 1), relu, true, false},
      {conv(1, 24, 8, 8, 64, 1), clip, true, false},
      {conv(3, 40, 7, 7, 136, 1), {}, true, true},
      {conv(1, 8, 5, 5, 1, 3), {}, true, false},
      {conv(1, 48, 12, 12, 65, 3, 2), relu, true, true},
      {conv(1, 128, 6, 6, 32, 3), sigmoid, false, false},
      {odd, silu, true, true},
      {same_pad_less, relu, true, false},
      {conv(2, 64, 9, 9, 72, 3), relu, true, false, 0.5},
      {conv(1, 32, 6, 6, 33, 3), {}, true, false, 1.0},
      // rows: fully connected
      {conv(1, 64, 1, 1, 10, 1), {}, true, false},
      {conv(9, 520, 1, 1, 13, 1), relu, true, true},
      {conv(4, 9, 1, 1, 5, 1), silu, false, false},
      // first: 3 channels and fewer
      {conv(2, 3, 32, 32, 16, 3), relu, true, false},
      {conv(1, 1, 28, 28, 6, 5), {}, false, false},
      {conv(1, 3, 17, 33, 32, 7, 2), clip, true, true},
      {first_odd, silu, true, true},
      // depthwise and grouped
      {grouped(conv(2, 16, 9, 9, 16, 3), 16), clip, true, false},
      {grouped(conv(1, 30, 12, 7, 30, 3, 2), 30), sigmoid, true, true},
      {grouped(conv(1, 12, 6, 6, 24, 5), 12), relu, true, false},
      {grouped(conv(1, 24, 6, 6, 36, 3), 3), relu, true, true},
  };
}

}  // namespace konv::test
