// Vectors of bfloat16, for units compiled per instruction set (per_isa.h).
#pragma once

#include <cstdint>

#include "kernels/base/bfloat16.h"
#include "kernels/cpu/per_isa.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace konv::KONV_ISA {
namespace {

/// Two numbers that are multiplied in turn, the first in the lower half.
using Pair = std::uint32_t;
typedef Pair Pairs __attribute__((vector_size(sizeof(Pair) * kLanes)));
typedef std::uint16_t Halves __attribute__((vector_size(sizeof(std::uint16_t) * kLanes)));

[[maybe_unused]] inline __attribute__((always_inline)) Pairs load(const Pair* p) {
  Pairs v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

[[maybe_unused]] inline __attribute__((always_inline)) Vector first(Pairs pairs) { return (Vector)(pairs << 16); }
[[maybe_unused]] inline __attribute__((always_inline)) Vector second(Pairs pairs) { return (Vector)(pairs & 0xffff0000u); }

/// kLanes numbers that lie side by side.
[[maybe_unused]] inline __attribute__((always_inline)) Vector load_widened(const std::uint16_t* p) {
  Halves v;
  std::memcpy(&v, p, sizeof v);
  return (Vector)(__builtin_convertvector(v, Pairs) << 16);
}

[[maybe_unused]] inline __attribute__((always_inline)) Pair make_pair(float first, float second) {
  return bfloat16_from_float(first) | static_cast<Pair>(bfloat16_from_float(second)) << 16;
}

// The two operations that processors may have. As instructions they take subnormal numbers for zero, and vdpbf16ps may round a sum between its products.

/// kLanes floats to kLanes / 2 pairs, rounded to nearest, ties to even.
[[maybe_unused]] inline __attribute__((always_inline)) void round_pairs(const float* from, Pair* to) {
#if defined(__AVX512BF16__)
  const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(from));
#else
  const Vector x = load(from);
  const Pairs bits = (Pairs)x, whole = bits >> 16;
  const Pairs nearest = (bits + 0x7fff + (whole & 1)) >> 16;
  const Halves rounded = __builtin_convertvector(x == x ? nearest : whole | 0x40, Halves);
#endif
  std::memcpy(to, &rounded, sizeof rounded);
}

/// sum + the products of a pair with each of the pairs.
[[maybe_unused]] inline __attribute__((always_inline)) Vector add_products(Vector sum, Pair x, Pairs w) {
#if defined(__AVX512BF16__)
  return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(static_cast<int>(x)), (__m512bh)w);
#else
  sum += __builtin_bit_cast(float, x << 16) * first(w);
  return sum + __builtin_bit_cast(float, x & 0xffff0000u) * second(w);
#endif
}

}  // namespace
}  // namespace konv::KONV_ISA
