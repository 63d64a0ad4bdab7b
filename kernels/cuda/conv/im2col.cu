// Windows written out as a matrix, for a GEMM of cuBLAS: [pixel][tap][pitch]. A thread moves one chunk.
#include "kernels/cuda/conv/window.h"

namespace konv::cuda {

template <class T>
KONV_DEVICE void im2col(const Im2colParams& p) {
  constexpr int kLane = kLanes<T>;
  const ConvGeometry& g = p.g;
  const std::int32_t chunks = g.in_pitch / kLane, taps = g.kernel_h * g.kernel_w;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (at >= static_cast<std::int64_t>(g.batch) * g.out_h * g.out_w * taps * chunks) return;
  const auto chunk = static_cast<std::int32_t>(at % chunks);
  const auto tap = static_cast<std::int32_t>(at / chunks % taps);
  const Window w = window_at(g, static_cast<std::int32_t>(at / chunks / taps));
  const std::int32_t y = w.y + tap / g.kernel_w * g.dilation_h, x = w.x + tap % g.kernel_w * g.dilation_w;
  const Chunk* in = static_cast<const Chunk*>(p.in);
  const Chunk value = inside(g, y, x) ? load(in + ((static_cast<std::int64_t>(w.n) * g.in_h + y) * g.in_w + x) * chunks + chunk) : Chunk{};
  store(static_cast<Chunk*>(p.out) + at, value);
}

KONV_GLOBAL(im2col_f32, Im2colParams, 256) { im2col<float>(p); }
KONV_GLOBAL(im2col_f16, Im2colParams, 256) { im2col<Half>(p); }

}  // namespace konv::cuda
