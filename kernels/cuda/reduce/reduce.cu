// Mean, sum, maximum and minimum over some dimensions. A block takes 32 neighbouring results (channels, in NHWC); its 8 warps share what is reduced, in an
// order that depends on the sizes only, and the first adds up.
#include "kernels/cuda/walk.h"

namespace konv::cuda {

inline constexpr int kReduceWarps = 8;

/// Maximum and minimum hand NaN on.
KONV_DEVICE float join(std::int32_t kind, float x, float y) {
  if (kind <= 1) return x + y;
  if (y != y) return y;
  return kind == 2 ? (y > x ? y : x) : (y < x ? y : x);
}

template <class T>
KONV_DEVICE void reduce(const ReduceParams& p) {
  KONV_SHARED(memory);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * 32 + lane;
  const float start = p.kind <= 1 ? 0.0f : p.kind == 2 ? -INFINITY : INFINITY;
  float result = start;
  if (output < p.outputs) {
    const T* in = static_cast<const T*>(p.in) + walk(output, p.kept_rank, p.kept, p.in_kept);
    for (std::int64_t i = warp; i < p.reduced; i += kReduceWarps)
      result = join(p.kind, result, to_float(load(in + walk(i, p.reduced_rank, p.over, p.in_over))));
  }
  store_shared(memory + (warp * 32 + lane) * 4, result);
  sync_threads();
  if (warp != 0 || output >= p.outputs) return;
  result = start;
  for (int w = 0; w < kReduceWarps; ++w) result = join(p.kind, result, load_shared<float>(memory + (w * 32 + lane) * 4));
  if (p.kind == 0) result /= static_cast<float>(p.reduced);
  store(static_cast<T*>(p.out) + walk(output, p.kept_rank, p.kept, p.out_kept), from_float<T>(result));
}

KONV_GLOBAL(reduce_f32, ReduceParams, 256) { reduce<float>(p); }
KONV_GLOBAL(reduce_f16, ReduceParams, 256) { reduce<Half>(p); }

}  // namespace konv::cuda
