// From exact integer sums to what a layer writes: one formula, the same bits on every instruction set, thread count and batch size.
//
//   v = float(a) multiplier + offset                       a: the sum of (x - zero_x) w, or of whatever a layer adds up
//   v = v + float(r - zero_r) multiplier_r                  with a residual
//   float output:     activation(v)
//   integer output:   zero + nearest(clamp(v, low, high))   nearest: ties to even
//
// Every operation rounds to float32 by itself; none is contracted (kernels/CMakeLists.txt). A clamping activation (none, relu, clip) is part of low and high,
// and the scales are those of the output's integers; behind any other activation v is a real number and v = activation(v) rescale comes before the clamp.
// Functions are static: units compiled for an instruction set must not export them.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/base/activation.h"

namespace konv {

/// The part of the formula that all channels share.
struct Requantize {
  float low = 0, high = 255;  ///< of v, so without the zero point
  std::int32_t zero = 0;
  float residual_multiplier = 0;
  std::int32_t residual_zero = 0;
  Activation activation;  ///< none where it is a clamp
  float rescale = 1;
};

/// Adding it leaves the nearest integer in the low bits of a float, ties to even, for |x| < 2^22: the rounding of the addition itself.
inline constexpr float kRounder = 12582912.0f;  // 1.5 2^23
inline constexpr std::int32_t kRounderBits = 0x4B400000;

static inline std::int32_t nearest_even(float x) {
  const float shifted = x + kRounder;
  std::int32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  return bits - kRounderBits;
}

/// NaN becomes `low`.
static inline float clamp_real(float v, float low, float high) {
  const float raised = v > low ? v : low;
  return raised < high ? raised : high;
}

/// An integer output from v, which has been through the activation.
static inline std::int32_t requantize(const Requantize& q, float v) { return q.zero + nearest_even(clamp_real(v, q.low, q.high)); }

}  // namespace konv
