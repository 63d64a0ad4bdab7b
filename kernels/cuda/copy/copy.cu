// Data movement: strided copies, fills, and network inputs and outputs between NCHW float32 and NHWC.
#include "kernels/cuda/walk.h"

namespace konv::cuda {

template <class From, class To>
KONV_DEVICE void copy(const CopyParams& p) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (at >= p.count) return;
  const From value = load(static_cast<const From*>(p.in) + walk(at, p.rank, p.dims, p.in_strides));
  store(static_cast<To*>(p.out) + walk(at, p.rank, p.dims, p.out_strides), from_float<To>(to_float(value)));
}

template <class T>
KONV_DEVICE void fill(const FillParams& p) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  if (at < p.count) store(static_cast<T*>(p.out) + at, from_float<T>(p.value));
}

/// A thread writes one chunk: neighbouring threads take neighbouring pixels, which lie together in the input.
template <class T>
KONV_DEVICE void image_in(const ImageParams& p) {
  constexpr int kLane = kLanes<T>;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  const std::int64_t chunks = p.pitch / kLane;
  if (at >= p.batch * p.pixels * chunks) return;
  const std::int64_t pixel = at % p.pixels, chunk = at / p.pixels % chunks, n = at / p.pixels / chunks;
  float x[kLane];
  for (int i = 0; i < kLane; ++i) {
    const std::int64_t c = chunk * kLane + i;
    x[i] = c < p.channels ? load(static_cast<const float*>(p.in) + (n * p.channels + c) * p.pixels + pixel) : 0.0f;
  }
  store_chunk(static_cast<T*>(p.out) + (n * p.pixels + pixel) * p.pitch + chunk * kLane, x);
}

/// A thread reads one chunk and writes it to as many planes.
template <class T>
KONV_DEVICE void image_out(const ImageParams& p) {
  constexpr int kLane = kLanes<T>;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 256 + threadIdx.x;
  const std::int64_t chunks = p.pitch / kLane;
  if (at >= p.batch * p.pixels * chunks) return;
  const std::int64_t pixel = at % p.pixels, chunk = at / p.pixels % chunks, n = at / p.pixels / chunks;
  float x[kLane];
  load_chunk(static_cast<const T*>(p.in) + (n * p.pixels + pixel) * p.pitch + chunk * kLane, x);
  for (int i = 0; i < kLane; ++i) {
    const std::int64_t c = chunk * kLane + i;
    if (c < p.channels) store(static_cast<float*>(p.out) + (n * p.channels + c) * p.pixels + pixel, x[i]);
  }
}

KONV_GLOBAL(copy_f32, CopyParams, 256) { copy<float, float>(p); }
KONV_GLOBAL(copy_f16, CopyParams, 256) { copy<Half, Half>(p); }
KONV_GLOBAL(copy_f32_to_f16, CopyParams, 256) { copy<float, Half>(p); }
KONV_GLOBAL(copy_f16_to_f32, CopyParams, 256) { copy<Half, float>(p); }
KONV_GLOBAL(fill_f32, FillParams, 256) { fill<float>(p); }
KONV_GLOBAL(fill_f16, FillParams, 256) { fill<Half>(p); }
KONV_GLOBAL(image_in_f32, ImageParams, 256) { image_in<float>(p); }
KONV_GLOBAL(image_in_f16, ImageParams, 256) { image_in<Half>(p); }
KONV_GLOBAL(image_out_f32, ImageParams, 256) { image_out<float>(p); }
KONV_GLOBAL(image_out_f16, ImageParams, 256) { image_out<Half>(p); }

}  // namespace konv::cuda
