// 16-bit floats to and from double.
#pragma once

#include <cmath>
#include <cstdint>

namespace konv {

/// A binary float of 1 sign bit, `exponent_bits` and `mantissa_bits`: float16 is {5, 10}, bfloat16 {8, 7}.
struct SmallFloat {
  int exponent_bits, mantissa_bits;

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
};

inline constexpr SmallFloat kFloat16{5, 10};
inline constexpr SmallFloat kBfloat16{8, 7};

inline double decode(SmallFloat f, std::uint16_t code) {
  const int exponent_mask = (1 << f.exponent_bits) - 1, mantissa_mask = (1 << f.mantissa_bits) - 1;
  const int exponent = code >> f.mantissa_bits & exponent_mask, mantissa = code & mantissa_mask;
  double value;
  if (exponent == exponent_mask) {
    value = mantissa ? std::nan("") : INFINITY;
  } else {
    const int hidden = exponent ? 1 << f.mantissa_bits : 0;
    value = std::ldexp(mantissa + hidden, (exponent ? exponent : 1) - f.bias() - f.mantissa_bits);
  }
  return code >> 15 ? -value : value;
}

/// Rounds to the nearest, ties to even; what is too large becomes infinite.
inline std::uint16_t encode(SmallFloat f, double value) {
  const int exponent_mask = (1 << f.exponent_bits) - 1;
  const int sign = std::signbit(value) ? 1 << 15 : 0;
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | exponent_mask << f.mantissa_bits | 1 << (f.mantissa_bits - 1));
  const double magnitude = std::fabs(value);
  if (magnitude == 0) return static_cast<std::uint16_t>(sign);
  const double largest = std::ldexp(2.0 - std::ldexp(1.0, -f.mantissa_bits - 1), f.bias());  // from here on the nearest is infinity
  if (magnitude >= largest) return static_cast<std::uint16_t>(sign | exponent_mask << f.mantissa_bits);
  int exponent = 0;
  std::frexp(magnitude, &exponent);                                      // magnitude in [1/2, 1) 2^exponent
  exponent = exponent - 1 < 1 - f.bias() ? 1 - f.bias() : exponent - 1;  // subnormal numbers share the smallest exponent
  const auto mantissa = static_cast<int>(std::nearbyint(std::ldexp(magnitude, f.mantissa_bits - exponent)));
  // A mantissa with its hidden bit, or one that was rounded up to the next power of two, carries into the exponent.
  return static_cast<std::uint16_t>(sign | (((exponent + f.bias() - 1) << f.mantissa_bits) + mantissa));
}

}  // namespace konv
