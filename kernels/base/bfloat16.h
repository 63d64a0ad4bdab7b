// bfloat16: the upper half of a float32.
// Functions are static: units compiled for an instruction set must not export them.
#pragma once

#include <cstdint>

namespace konv {

static inline float float_from_bfloat16(std::uint16_t upper) { return __builtin_bit_cast(float, static_cast<std::uint32_t>(upper) << 16); }

/// The nearest, ties to even; what is too large becomes infinite, NaN stays NaN.
static inline std::uint16_t bfloat16_from_float(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  if (x != x) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace konv
