#include "engine/run/cuda/image_bytes.h"

#include <cstring>

#include "engine/base/half.h"
#include "kernels/cuda/conv/pack.h"

namespace konv::run {
namespace {

/// Calls f(row-major index, element of the device's array) for every element.
template <class F>
void for_each_element(const plan::Value& value, const F& f) {
  const std::int64_t count = element_count(value.dims);
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i, at = 0;
    for (std::size_t d = value.dims.size(); d-- > 0;) {
      at += rest % value.dims[d] * value.strides[d];
      rest /= value.dims[d];
    }
    f(i, at);
  }
}

}  // namespace

std::vector<std::byte> to_device_bytes(const plan::Value& value, std::span<const float> elements) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(value.bytes));
  const bool half = value.layout.dtype == DType::float16;
  for_each_element(value, [&](std::int64_t i, std::int64_t at) {
    const float x = elements[static_cast<std::size_t>(i)];
    if (half) {
      const std::uint16_t bits = cuda::half_bits(x);
      std::memcpy(bytes.data() + 2 * at, &bits, 2);
    } else {
      std::memcpy(bytes.data() + 4 * at, &x, 4);
    }
  });
  return bytes;
}

std::vector<float> from_device_bytes(const plan::Value& value, std::span<const std::byte> bytes) {
  std::vector<float> elements(static_cast<std::size_t>(element_count(value.dims)));
  const bool half = value.layout.dtype == DType::float16;
  for_each_element(value, [&](std::int64_t i, std::int64_t at) {
    float& x = elements[static_cast<std::size_t>(i)];
    if (half) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, bytes.data() + 2 * at, 2);
      x = float_from_half(bits);
    } else {
      std::memcpy(&x, bytes.data() + 4 * at, 4);
    }
  });
  return elements;
}

}  // namespace konv::run
