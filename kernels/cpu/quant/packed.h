// Single elements of any type, packed ones too. For kernels that are correct first.
#pragma once

#include <cstdint>

#include "kernels/cpu/typed.h"

namespace konv {

/// The element as a real number; integers of 64 bits beyond 2^53 are rounded.
inline double element_at(DType dtype, const void* data, std::int64_t i) {
  const int width = bits(dtype);
  if (width < 8) {
    const int per_byte = 8 / width,
              code = static_cast<const std::uint8_t*>(data)[i / per_byte] >> (i % per_byte * width) & ((1 << width) - 1);
    const bool negative = (dtype == DType::int4 || dtype == DType::int2) && code >= 1 << (width - 1);
    return negative ? code - (1 << width) : code;
  }
  double value = 0;
  with_type(dtype, [&](auto type) {
    using Type = decltype(type);
    value = static_cast<double>(Type::load(static_cast<const typename Type::Stored*>(data)[i]));
  });
  return value;
}

/// Stores a number that the type holds; floats are rounded. Packed neighbours in the same byte keep their bits.
inline void put_element(DType dtype, void* data, std::int64_t i, double value) {
  const int width = bits(dtype);
  if (width < 8) {
    const int per_byte = 8 / width, shift = static_cast<int>(i % per_byte) * width, mask = (1 << width) - 1;
    std::uint8_t& byte = static_cast<std::uint8_t*>(data)[i / per_byte];
    byte = static_cast<std::uint8_t>((byte & ~(mask << shift)) | (static_cast<int>(value) & mask) << shift);
    return;
  }
  with_type(dtype, [&](auto type) {
    using Type = decltype(type);
    static_cast<typename Type::Stored*>(data)[i] = Type::store(static_cast<typename Type::Compute>(value));
  });
}

/// The range of an integer type of at most 32 bits.
inline double lowest_integer(DType dtype) {
  const bool is_signed =
      dtype == DType::int32 || dtype == DType::int16 || dtype == DType::int8 || dtype == DType::int4 || dtype == DType::int2;
  return is_signed ? -std::ldexp(1.0, bits(dtype) - 1) : 0;
}
inline double highest_integer(DType dtype) { return lowest_integer(dtype) + std::ldexp(1.0, bits(dtype)) - 1; }

}  // namespace konv
