// Products of few rows: fully connected layers and 1x1 convolutions of few pixels. A warp sums one output channel for 4 pixels, so that every weight is read
// once per 4 pixels and in whole sectors.
//   in [pixel][pitch]   weight [out_pitch][pitch]   out [pixel][out_pitch]   sums float32
#include "kernels/cuda/activate.h"
#include "kernels/cuda/conv/window.h"

namespace konv::cuda {

template <class T>
KONV_DEVICE void conv_rows(const ConvParams& p) {
  constexpr int kLane = kLanes<T>, kRows = 4;
  const ConvGeometry& g = p.g;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const std::int32_t channel = static_cast<std::int32_t>(blockIdx.x) * 4 + warp, first = static_cast<std::int32_t>(blockIdx.y) * kRows;
  const std::int32_t pixels = g.batch * g.in_h * g.in_w;
  if (channel >= g.out_pitch) return;  // whole warps
  float sum[kRows] = {};
  const T* weight = static_cast<const T*>(p.weight) + static_cast<std::int64_t>(channel) * g.in_pitch;
  for (std::int32_t k = lane * kLane; k < g.in_pitch; k += 32 * kLane) {
    float w[kLane], x[kLane];
    load_chunk(weight + k, w);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first + r >= pixels) break;
      load_chunk(static_cast<const T*>(p.in) + static_cast<std::int64_t>(first + r) * g.in_pitch + k, x);
#pragma unroll
      for (int i = 0; i < kLane; ++i) sum[r] += x[i] * w[i];
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    for (int lanes = 16; lanes > 0; lanes /= 2) sum[r] += shuffle_xor(sum[r], lanes);
    if (lane != r || first + r >= pixels) continue;
    const std::int64_t at = static_cast<std::int64_t>(first + r) * g.out_pitch + channel;
    float value = sum[r];
    if (channel < g.out_channels) {
      if (p.epilogue.bias) value += load(p.epilogue.bias + channel);
      if (p.epilogue.residual) value += to_float(load(static_cast<const T*>(p.epilogue.residual) + at));
      value = activate(p.epilogue.activation, value);
    } else {
      value = 0;
    }
    store(static_cast<T*>(p.out) + at, from_float<T>(value));
  }
}

KONV_GLOBAL(conv_rows_f32, ConvParams, 128) { conv_rows<float>(p); }
KONV_GLOBAL(conv_rows_f16, ConvParams, 128) { conv_rows<Half>(p); }

}  // namespace konv::cuda
