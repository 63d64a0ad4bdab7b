// Arrays as they lie in device memory, on the host: poisoned, with room around them that nobody may touch.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "kernels/cuda/conv/pack.h"
#include "kernels/cuda/device.h"
#include "tests/support/random.h"
#include "tests/support/simt/interpreter.h"

namespace konv::test {

inline constexpr simt::Order kOrders[] = {simt::Order::forward, simt::Order::reversed, simt::Order::shuffled};

/// Exactly `bytes` bytes, aligned to 256 and of 0xff to begin with: an address sanitizer sees what lies beyond.
class DeviceBytes {
 public:
  explicit DeviceBytes(std::size_t bytes) : bytes_(bytes), data_(static_cast<std::byte*>(::operator new(bytes ? bytes : 1, kAlign))) {
    std::memset(data_, 0xff, bytes);
  }
  ~DeviceBytes() { ::operator delete(data_, kAlign); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  void* data() { return data_; }
  std::size_t size() const { return bytes_; }
  simt::Buffer buffer(const char* name, bool writable = false) const { return {data_, bytes_, writable, name}; }

 private:
  static constexpr std::align_val_t kAlign{256};
  std::size_t bytes_;
  std::byte* data_;
};

/// What the precision makes of a number.
inline float rounded(float x, cuda::Precision p) {
  if (p == cuda::Precision::float16) return cuda::half_to_float(cuda::half_bits(x));
  return p == cuda::Precision::tf32 ? cuda::tf32_value(x) : x;
}

inline void put(void* array, std::int64_t at, float x, cuda::Precision p) {
  if (p == cuda::Precision::float16) {
    const std::uint16_t bits = cuda::half_bits(x);
    std::memcpy(static_cast<std::byte*>(array) + 2 * at, &bits, 2);
  } else {
    std::memcpy(static_cast<std::byte*>(array) + 4 * at, &x, 4);
  }
}

inline float get(const void* array, std::int64_t at, cuda::Precision p) {
  if (p == cuda::Precision::float16) {
    std::uint16_t bits;
    std::memcpy(&bits, static_cast<const std::byte*>(array) + 2 * at, 2);
    return cuda::half_to_float(bits);
  }
  float x;
  std::memcpy(&x, static_cast<const std::byte*>(array) + 4 * at, 4);
  return x;
}

/// An NHWC image of [n][c][h][w] numbers, pad lanes zero.
inline void put_image(void* array, const std::vector<float>& nchw, std::int64_t n, std::int64_t c, std::int64_t pixels, cuda::Precision p) {
  const std::int64_t pitch = cuda::pitch_of(c, p);
  for (std::int64_t i = 0; i < n * pixels * pitch; ++i) put(array, i, 0, p);
  for (std::int64_t b = 0; b < n; ++b) {
    for (std::int64_t ch = 0; ch < c; ++ch) {
      for (std::int64_t x = 0; x < pixels; ++x)
        put(array, (b * pixels + x) * pitch + ch, nchw[static_cast<std::size_t>((b * c + ch) * pixels + x)], p);
    }
  }
}

/// Back to [n][c][h][w]. Checks that pad lanes are zero.
inline std::vector<float> get_image(const void* array, std::int64_t n, std::int64_t c, std::int64_t pixels, cuda::Precision p) {
  const std::int64_t pitch = cuda::pitch_of(c, p);
  std::vector<float> nchw(static_cast<std::size_t>(n * c * pixels));
  std::int64_t dirty = 0;
  for (std::int64_t b = 0; b < n; ++b) {
    for (std::int64_t x = 0; x < pixels; ++x) {
      for (std::int64_t ch = 0; ch < pitch; ++ch) {
        const float value = get(array, (b * pixels + x) * pitch + ch, p);
        if (ch < c) {
          nchw[static_cast<std::size_t>((b * c + ch) * pixels + x)] = value;
        } else {
          dirty += value != 0;
        }
      }
    }
  }
  CHECK_MESSAGE(dirty == 0, "lanes beyond the channels are not zero");
  return nchw;
}

inline std::vector<float> random_values(Rng& rng, std::int64_t count, cuda::Precision p) {
  std::vector<float> values = rng.reals(count);
  for (float& x : values) x = rounded(x, p);
  return values;
}

/// Largest |a - b| / (1 + |b|), infinite for NaN: b is a reference in double.
inline double worst_error(const std::vector<float>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i];
    if (x == b[i]) continue;  // infinities
    const double error = std::abs(x - b[i]) / (1 + std::abs(b[i]));
    if (!(error <= worst)) worst = std::isnan(error) ? INFINITY : error;
  }
  return worst;
}

/// How far a sum of `k` products of numbers up to 1 may be from the reference: float32 sums, and one rounding to the output's type. tf32 operands are exact here.
inline double allowed_error(cuda::Precision p, std::int64_t k) {
  const double sum = 0x1p-24 * (16 + 6 * std::sqrt(static_cast<double>(k)));
  return p == cuda::Precision::float16 ? 0x1.4p-11 + sum : sum;
}

}  // namespace konv::test
