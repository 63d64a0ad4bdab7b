// Softmax, the maximum subtracted first: one warp per row. Reads the row three times; rows of classifiers stay in the L1 cache.
#include "kernels/cuda/device.h"
#include "kernels/cuda/params.h"

namespace konv::cuda {

template <class T>
KONV_DEVICE void softmax(const SoftmaxParams& p) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * 4 + warp;
  if (row >= p.outer * p.inner) return;  // whole warps
  const std::int64_t first = row / p.inner * p.outer_stride + row % p.inner * p.inner_stride;
  const T* in = static_cast<const T*>(p.in) + first;
  T* out = static_cast<T*>(p.out) + first;
  float largest = -INFINITY, sum = 0;
  for (std::int32_t i = lane; i < p.size; i += 32) {
    const float x = to_float(load(in + i * p.step));
    largest = x > largest || x != x ? x : largest;
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const float other = shuffle_xor(largest, lanes);
    largest = other > largest || other != other ? other : largest;
  }
  for (std::int32_t i = lane; i < p.size; i += 32) sum += expf(to_float(load(in + i * p.step)) - largest);
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += shuffle_xor(sum, lanes);
  for (std::int32_t i = lane; i < p.size; i += 32)
    store(out + i * p.step, from_float<T>(expf(to_float(load(in + i * p.step)) - largest) / sum));
}

KONV_GLOBAL(softmax_f32, SoftmaxParams, 128) { softmax<float>(p); }
KONV_GLOBAL(softmax_f16, SoftmaxParams, 128) { softmax<Half>(p); }

}  // namespace konv::cuda
