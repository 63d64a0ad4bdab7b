// Elementwise work: arithmetic of two strided operands, and per-channel scale, shift, residual and activation on whole chunks.
#include "kernels/cuda/activate.h"
#include "kernels/cuda/walk.h"

namespace konv::cuda {

KONV_DEVICE float combine(std::int32_t kind, float a, float b) {
  switch (kind) {
    case 0: return a + b;
    case 1: return a - b;
    case 2: return a * b;
    case 3: return a / b;
    case 4: return powf(a, b);
    case 5: return b < a || b != b ? b : a;  // hands NaN on, as the next one does
    case 6: return a < b || b != b ? b : a;
    default: return a < 0.0f ? a * b : a;
  }
}

template <class T>
KONV_DEVICE void binary(const BinaryParams& p) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (at >= p.count) return;
  const float a = to_float(load(static_cast<const T*>(p.a) + walk(at, p.rank, p.dims, p.a_strides)));
  const float b = to_float(load(static_cast<const T*>(p.b) + walk(at, p.rank, p.dims, p.b_strides)));
  store(static_cast<T*>(p.out) + walk(at, p.rank, p.dims, p.out_strides), from_float<T>(activate(p.activation, combine(p.kind, a, b))));
}

template <class T>
KONV_DEVICE void affine(const AffineParams& p) {
  constexpr int kLane = kLanes<T>;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (at >= p.chunks) return;
  const auto channel = static_cast<std::int32_t>(at % (p.pitch / kLane)) * kLane;
  float x[kLane], residual[kLane] = {};
  load_chunk(static_cast<const T*>(p.in) + at * kLane, x);
  if (p.residual) load_chunk(static_cast<const T*>(p.residual) + at * kLane, residual);
  for (int i = 0; i < kLane; ++i) {
    const std::int32_t c = channel + i;
    if (c < p.channels) {
      const float scale = p.scale ? load(p.scale + c) : 1.0f, shift = p.shift ? load(p.shift + c) : 0.0f;
      x[i] = activate(p.activation, scale * x[i] + shift + residual[i]);
    } else {
      x[i] = 0;
    }
  }
  store_chunk(static_cast<T*>(p.out) + at * kLane, x);
}

KONV_GLOBAL(binary_f32, BinaryParams, 256) { binary<float>(p); }
KONV_GLOBAL(binary_f16, BinaryParams, 256) { binary<Half>(p); }
KONV_GLOBAL(affine_f32, AffineParams, 256) { affine<float>(p); }
KONV_GLOBAL(affine_f16, AffineParams, 256) { affine<Half>(p); }

}  // namespace konv::cuda
