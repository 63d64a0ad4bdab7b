// Depthwise convolution (one filter per channel): a thread owns one pixel and a chunk of channels; the window's overlap is the L1 cache's.
//   in [n][h][w][pitch]   weight float32 [tap][pitch]   out [n][oh][ow][pitch]
#include "kernels/cuda/activate.h"
#include "kernels/cuda/conv/window.h"

namespace konv::cuda {

template <class T>
KONV_DEVICE void conv_depthwise(const ConvParams& p) {
  constexpr int kLane = kLanes<T>;
  const ConvGeometry& g = p.g;
  const std::int32_t chunks = g.out_pitch / kLane;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 128 + threadIdx.x;
  if (at >= static_cast<std::int64_t>(g.batch) * g.out_h * g.out_w * chunks) return;
  const auto channel = static_cast<std::int32_t>(at % chunks) * kLane;
  const Window w = window_at(g, static_cast<std::int32_t>(at / chunks));
  const float* weight = static_cast<const float*>(p.weight) + channel;
  float sum[kLane] = {};
  for (std::int32_t ky = 0; ky < g.kernel_h; ++ky) {
    for (std::int32_t kx = 0; kx < g.kernel_w; ++kx) {
      const std::int32_t y = w.y + ky * g.dilation_h, x = w.x + kx * g.dilation_w;
      if (!inside(g, y, x)) continue;
      float in[kLane], tap[4];
      load_chunk(static_cast<const T*>(p.in) + ((static_cast<std::int64_t>(w.n) * g.in_h + y) * g.in_w + x) * g.in_pitch + channel, in);
      for (int i = 0; i < kLane; i += 4) {
        load_chunk(weight + (ky * g.kernel_w + kx) * g.out_pitch + i, tap);
        for (int j = 0; j < 4; ++j) sum[i + j] += in[i + j] * tap[j];
      }
    }
  }
  float residual[kLane] = {};
  if (p.epilogue.residual) load_chunk(static_cast<const T*>(p.epilogue.residual) + at * kLane, residual);
  for (int i = 0; i < kLane; ++i) {
    const bool real = channel + i < g.out_channels;
    const float bias = real && p.epilogue.bias ? load(p.epilogue.bias + channel + i) : 0.0f;
    sum[i] = real ? activate(p.epilogue.activation, sum[i] + bias + residual[i]) : 0.0f;
  }
  store_chunk(static_cast<T*>(p.out) + at * kLane, sum);
}

KONV_GLOBAL(conv_depthwise_f32, ConvParams, 128) { conv_depthwise<float>(p); }
KONV_GLOBAL(conv_depthwise_f16, ConvParams, 128) { conv_depthwise<Half>(p); }

}  // namespace konv::cuda
