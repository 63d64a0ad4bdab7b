// Elements of every whole-byte type, for kernels that work in any of them: how they are stored and what is computed in.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/base/dtype.h"
#include "kernels/cpu/eltwise/half.h"

namespace konv {

/// A type that is computed in itself; integers wrap around.
template <class T>
struct Plain {
  using Stored = T;
  using Compute = T;
  static T load(T x) { return x; }
  static T store(T x) { return x; }
};

/// A 16-bit float, computed in float.
template <int kExponentBits, int kMantissaBits>
struct Small {
  using Stored = std::uint16_t;
  using Compute = float;
  static float load(std::uint16_t x) { return static_cast<float>(decode({kExponentBits, kMantissaBits}, x)); }
  static std::uint16_t store(float x) { return encode({kExponentBits, kMantissaBits}, static_cast<double>(x)); }
};

/// Calls f(Plain<float>{}), ... for the type; nothing for packed ones.
template <class F>
void with_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::float32: return f(Plain<float>{});
    case DType::float64: return f(Plain<double>{});
    case DType::float16: return f(Small<5, 10>{});
    case DType::bfloat16: return f(Small<8, 7>{});
    case DType::int64: return f(Plain<std::int64_t>{});
    case DType::int32: return f(Plain<std::int32_t>{});
    case DType::int16: return f(Plain<std::int16_t>{});
    case DType::int8: return f(Plain<std::int8_t>{});
    case DType::uint64: return f(Plain<std::uint64_t>{});
    case DType::uint32: return f(Plain<std::uint32_t>{});
    case DType::uint16: return f(Plain<std::uint16_t>{});
    case DType::uint8:
    case DType::boolean: return f(Plain<std::uint8_t>{});
    case DType::int4:
    case DType::int2:
    case DType::uint4:
    case DType::uint2: return;
  }
}

inline const char* refuse_packed(DType dtype) { return bits(dtype) < 8 ? "a type of less than 8 bits" : nullptr; }

/// The lowest and highest value: infinities where there are.
template <class T>
constexpr T lowest_of() {
  if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::lowest();
}
template <class T>
constexpr T highest_of() {
  if constexpr (std::is_floating_point_v<T>) return std::numeric_limits<T>::infinity();
  return std::numeric_limits<T>::max();
}

/// a + b, a - b, a * b; integers wrap around instead of overflowing.
template <class T>
using Wrapping = std::conditional_t<std::is_floating_point_v<T>, T, std::uint64_t>;
template <class T>
T add(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
}
template <class T>
T subtract(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
}
template <class T>
T multiply(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
}
/// Integers: towards zero, by zero 0.
template <class T>
T divide(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return a / b;
  } else {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == T(-1)) return subtract(T(0), a);
    }
    return static_cast<T>(a / b);
  }
}

}  // namespace konv
