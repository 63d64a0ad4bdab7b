#include "engine/graph/tensor.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/base/aligned.h"
#include "engine/base/checked.h"
#include "engine/base/half.h"
#include "kernels/base/bfloat16.h"

namespace konv {
namespace {

template <class From, class To>
std::vector<To> widened(const Tensor& tensor) {
  const std::span<const From> from = tensor.as<From>();
  std::vector<To> to(from.size());
  std::transform(from.begin(), from.end(), to.begin(), [](From x) { return static_cast<To>(x); });
  return to;
}

/// Integers of 2 or 4 bits, element 0 in the lowest bits of byte 0.
std::vector<std::int64_t> unpacked(const Tensor& tensor, bool is_signed) {
  const int width = bits(tensor.dtype), per_byte = 8 / width;
  const unsigned mask = (1u << width) - 1, sign = 1u << (width - 1);
  std::vector<std::int64_t> values(static_cast<std::size_t>(tensor.count()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t at = i / static_cast<std::size_t>(per_byte);
    const int shift = width * static_cast<int>(i % static_cast<std::size_t>(per_byte));
    const unsigned raw = (std::to_integer<unsigned>(tensor.bytes.get()[at]) >> shift) & mask;
    values[i] = is_signed && (raw & sign) ? static_cast<std::int64_t>(raw) - (1 << width) : static_cast<std::int64_t>(raw);
  }
  return values;
}

std::vector<float> from_bits(const Tensor& tensor, float (*widen)(std::uint16_t)) {
  const std::span<const std::uint16_t> from = tensor.as<std::uint16_t>();
  std::vector<float> to(from.size());
  std::transform(from.begin(), from.end(), to.begin(), widen);
  return to;
}

std::vector<float> rounded(const Tensor& tensor) {
  const std::span<const double> from = tensor.as<double>();
  std::vector<float> to(from.size());
  std::transform(from.begin(), from.end(), to.begin(), [](double x) { return static_cast<float>(x); });
  return to;
}

template <class T>
Tensor made(DType dtype, Dims dims, std::span<const T> values) {
  MutableTensor tensor(dtype, std::move(dims));
  const std::span<T> to = tensor.as<T>();
  if (to.size() != values.size()) {
    throw Error(fmt::format("tensor: {} values given; expected {} ({})", values.size(), to.size(), to_string(tensor.dims)));
  }
  std::copy(values.begin(), values.end(), to.begin());
  return tensor;
}

}  // namespace

std::int64_t element_count(const Dims& dims) {
  std::int64_t count = 1;
  for (const std::int64_t size : dims) {
    if (size < 0) throw Error(fmt::format("shape {}: negative size; expected sizes from 0", to_string(dims)));
    count = checked_mul(count, size);
  }
  return count;
}

std::string to_string(const Dims& dims) { return dims.empty() ? "scalar" : fmt::format("{}", fmt::join(dims, "x")); }

MutableTensor::MutableTensor(DType dtype_, Dims dims_) : dtype(dtype_), dims(std::move(dims_)) {
  const std::int64_t count = element_count(dims);
  checked_mul(count, 64);  // storage_bytes counts bits
  bytes = aligned_bytes(storage_bytes(dtype, count));
}

Tensor make_f32(Dims dims, std::span<const float> values) { return made(DType::float32, std::move(dims), values); }

Tensor make_i64(Dims dims, std::span<const std::int64_t> values) { return made(DType::int64, std::move(dims), values); }

Tensor pack_integers(DType type, Dims dims, std::span<const std::int32_t> values) {
  MutableTensor tensor(type, std::move(dims));
  auto* bytes = reinterpret_cast<std::uint8_t*>(tensor.bytes.get());
  const auto width = static_cast<std::size_t>(bits(type));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (width >= 8) {
      std::memcpy(bytes + i * (width / 8), &values[i], width / 8);  // little-endian: the low bytes come first
      continue;
    }
    const std::size_t bit = i * width;
    const unsigned field = static_cast<unsigned>(values[i]) & ((1u << width) - 1);
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | field << bit % 8);
  }
  return tensor;
}

std::vector<std::int64_t> to_i64(const Tensor& tensor) {
  switch (tensor.dtype) {
    case DType::int64: return widened<std::int64_t, std::int64_t>(tensor);
    case DType::int32: return widened<std::int32_t, std::int64_t>(tensor);
    case DType::int16: return widened<std::int16_t, std::int64_t>(tensor);
    case DType::int8: return widened<std::int8_t, std::int64_t>(tensor);
    case DType::uint64: return widened<std::uint64_t, std::int64_t>(tensor);
    case DType::uint32: return widened<std::uint32_t, std::int64_t>(tensor);
    case DType::uint16: return widened<std::uint16_t, std::int64_t>(tensor);
    case DType::uint8:
    case DType::boolean: return widened<std::uint8_t, std::int64_t>(tensor);
    case DType::int4:
    case DType::int2: return unpacked(tensor, true);
    case DType::uint4:
    case DType::uint2: return unpacked(tensor, false);
    default: throw Error(fmt::format("tensor: elements are {}; expected integers", name(tensor.dtype)));
  }
}

std::vector<double> to_f64(const Tensor& tensor) {
  if (tensor.dtype == DType::float64) return widened<double, double>(tensor);
  const std::vector<float> values = to_f32(tensor);
  return {values.begin(), values.end()};
}

std::vector<float> to_f32(const Tensor& tensor) {
  switch (tensor.dtype) {
    case DType::float32: return widened<float, float>(tensor);
    case DType::float64: return rounded(tensor);
    case DType::float16: return from_bits(tensor, float_from_half);
    case DType::bfloat16: return from_bits(tensor, float_from_bfloat16);
    default: throw Error(fmt::format("tensor: elements are {}; expected floats", name(tensor.dtype)));
  }
}

}  // namespace konv
