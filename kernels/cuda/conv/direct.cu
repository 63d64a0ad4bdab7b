// Convolution as it is written, for every geometry: one thread per output element, channels side by side, sums in float32.
//   in [n][h][w][pitch]   weight [tap][cin / groups][out_pitch]   out [n][oh][ow][out_pitch]
#include "kernels/cuda/activate.h"
#include "kernels/cuda/conv/window.h"

namespace konv::cuda {

template <class T>
KONV_DEVICE void conv_direct(const ConvParams& p) {
  const ConvGeometry& g = p.g;
  const std::int64_t count = static_cast<std::int64_t>(g.batch) * g.out_h * g.out_w * g.out_pitch;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 128 + threadIdx.x;
  if (at >= count) return;
  const auto channel = static_cast<std::int32_t>(at % g.out_pitch);
  T* out = static_cast<T*>(p.out) + at;
  if (channel >= g.out_channels) return store(out, from_float<T>(0));
  const Window w = window_at(g, static_cast<std::int32_t>(at / g.out_pitch));
  const std::int32_t group_in = g.in_channels / g.groups;
  const std::int32_t first = channel / (g.out_channels / g.groups) * group_in;
  const T* weight = static_cast<const T*>(p.weight) + channel;
  float sum = 0;
  for (std::int32_t ky = 0; ky < g.kernel_h; ++ky) {
    for (std::int32_t kx = 0; kx < g.kernel_w; ++kx) {
      const std::int32_t y = w.y + ky * g.dilation_h, x = w.x + kx * g.dilation_w;
      if (!inside(g, y, x)) continue;
      const T* in = static_cast<const T*>(p.in) + ((static_cast<std::int64_t>(w.n) * g.in_h + y) * g.in_w + x) * g.in_pitch + first;
      const T* tap = weight + static_cast<std::int64_t>(ky * g.kernel_w + kx) * group_in * g.out_pitch;
      for (std::int32_t c = 0; c < group_in; ++c)
        sum += to_float(load(in + c)) * to_float(load(tap + static_cast<std::int64_t>(c) * g.out_pitch));
    }
  }
  if (p.epilogue.bias) sum += load(p.epilogue.bias + channel);
  if (p.epilogue.residual) sum += to_float(load(static_cast<const T*>(p.epilogue.residual) + at));
  store(out, from_float<T>(activate(p.epilogue.activation, sum)));
}

KONV_GLOBAL(conv_direct_f32, ConvParams, 128) { conv_direct<float>(p); }
KONV_GLOBAL(conv_direct_f16, ConvParams, 128) { conv_direct<Half>(p); }

}  // namespace konv::cuda
