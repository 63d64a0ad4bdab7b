// Max and average pooling, NHWC: a thread owns one output pixel and a chunk of channels. Sums are float32; a window of max pooling that lies in the padding
// alone gives -infinity, as ONNX has it.
#include "kernels/cuda/device.h"
#include "kernels/cuda/params.h"

namespace konv::cuda {

/// Taps from `start` on that lie in [low, high).
KONV_DEVICE std::int32_t taps_within(std::int32_t start, std::int32_t kernel, std::int32_t dilation, std::int32_t low, std::int32_t high) {
  std::int32_t count = 0;
  for (std::int32_t k = 0; k < kernel; ++k) count += start + k * dilation >= low && start + k * dilation < high;
  return count;
}

template <class T, bool average>
KONV_DEVICE void pool(const PoolParams& p) {
  constexpr int kLane = kLanes<T>;
  const std::int32_t chunks = p.pitch / kLane;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * 128 + threadIdx.x;
  if (at >= static_cast<std::int64_t>(p.batch) * p.out_h * p.out_w * chunks) return;
  const auto channel = static_cast<std::int32_t>(at % chunks) * kLane;
  const auto pixel = at / chunks;
  const auto ox = static_cast<std::int32_t>(pixel % p.out_w), oy = static_cast<std::int32_t>(pixel / p.out_w % p.out_h);
  const std::int64_t n = pixel / p.out_w / p.out_h;
  const std::int32_t y0 = oy * p.stride_h - p.pad_top, x0 = ox * p.stride_w - p.pad_left;
  float result[kLane], in[kLane];
  for (int i = 0; i < kLane; ++i) result[i] = average ? 0.0f : -INFINITY;
  for (std::int32_t ky = 0; ky < p.kernel_h; ++ky) {
    for (std::int32_t kx = 0; kx < p.kernel_w; ++kx) {
      const std::int32_t y = y0 + ky * p.dilation_h, x = x0 + kx * p.dilation_w;
      if (y < 0 || y >= p.in_h || x < 0 || x >= p.in_w) continue;
      load_chunk(static_cast<const T*>(p.in) + ((n * p.in_h + y) * p.in_w + x) * p.pitch + channel, in);
      for (int i = 0; i < kLane; ++i) result[i] = average ? result[i] + in[i] : (in[i] > result[i] || in[i] != in[i] ? in[i] : result[i]);
    }
  }
  float scale = 1;
  if (average) {
    const std::int32_t rows = taps_within(y0, p.kernel_h, p.dilation_h, -p.count_top, p.in_h + p.count_bottom);
    const std::int32_t columns = taps_within(x0, p.kernel_w, p.dilation_w, -p.count_left, p.in_w + p.count_right);
    scale = static_cast<float>(rows * columns);
  }
  for (int i = 0; i < kLane; ++i) result[i] = channel + i < p.channels ? result[i] / scale : 0.0f;
  store_chunk(static_cast<T*>(p.out) + at * kLane, result);
}

KONV_GLOBAL(pool_max_f32, PoolParams, 128) { pool<float, false>(p); }
KONV_GLOBAL(pool_max_f16, PoolParams, 128) { pool<Half, false>(p); }
KONV_GLOBAL(pool_average_f32, PoolParams, 128) { pool<float, true>(p); }
KONV_GLOBAL(pool_average_f16, PoolParams, 128) { pool<Half, true>(p); }

}  // namespace konv::cuda
