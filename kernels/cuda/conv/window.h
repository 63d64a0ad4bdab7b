// A flat output pixel as image, row and column, and where its window begins.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/params.h"

namespace konv::cuda {

struct Window {
  std::int32_t n, oy, ox, y, x;  ///< y, x: the window's first pixel, in the padding where negative
};

KONV_DEVICE Window window_at(const ConvGeometry& g, std::int32_t pixel) {
  Window w;
  w.ox = pixel % g.out_w;
  const std::int32_t row = pixel / g.out_w;
  w.oy = row % g.out_h;
  w.n = row / g.out_h;
  w.y = w.oy * g.stride_h - g.pad_top;
  w.x = w.ox * g.stride_w - g.pad_left;
  return w;
}

KONV_DEVICE bool inside(const ConvGeometry& g, std::int32_t y, std::int32_t x) { return y >= 0 && y < g.in_h && x >= 0 && x < g.in_w; }

}  // namespace konv::cuda
