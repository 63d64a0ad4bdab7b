// The end of a tile of integer sums: requantize.h for vectors of output channels.
// Only for units of an instruction set (per_isa.h).
#pragma once

#include <cstdint>

#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/integer/dot.h"
#include "kernels/cpu/integer/requantize.h"

namespace konv::KONV_ISA {
namespace {

inline __attribute__((always_inline)) Vector to_floats(Ints v) { return __builtin_convertvector(v, Vector); }

inline __attribute__((always_inline)) Vector clamp_vector(Vector v, Vector low, Vector high) {
  const Vector raised = v > low ? v : low;
  return raised < high ? raised : high;
}

/// As requantize.h rounds: to nearest, ties to even, which conversions do in the mode that programs run in.
inline __attribute__((always_inline)) Ints nearest_even(Vector v) {
#if defined(__AVX512F__)
  return (Ints)_mm512_maskz_cvtps_epi32(0xFFFF, (__m512)v);
#elif defined(__AVX2__)
  return (Ints)_mm256_cvtps_epi32((__m256)v);
#else
  const Vector shifted = v + kRounder;
  Ints bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  return bits - kRounderBits;
#endif
}

inline __attribute__((always_inline)) Ints load_bytes(const std::uint8_t* p) {
#if defined(__AVX512F__)
  return (Ints)_mm512_maskz_cvtepu8_epi32(0xFFFF, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return (Ints)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#else
  Bytes v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_convertvector(v, Ints);
#endif
}

inline __attribute__((always_inline)) void store_bytes(std::uint8_t* p, Ints v) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(0xFFFF, (__m512i)v));
#else
  const Bytes bytes = __builtin_convertvector(v, Bytes);
  std::memcpy(p, &bytes, sizeof bytes);
#endif
}

#if defined(__AVX512F__)
/// Two and four vectors of 16 outputs as bytes side by side: v + zero, clamped to a byte. |zero| < 256.
inline __attribute__((always_inline)) __m512i pack_pairs(Ints a, Ints b, __m512i zero) {
  return _mm512_adds_epi16(_mm512_packs_epi32((__m512i)a, (__m512i)b), zero);
}
inline __attribute__((always_inline)) __m512i bytes_in_order(__m512i ab, __m512i cd) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);  // packing goes by 128 bits
  return _mm512_maskz_permutexvar_epi32(0xFFFF, order, _mm512_packus_epi16(ab, cd));
}
#endif

/// v through an activation that is no clamp, in real numbers; by the scalar definition, compiled once for all instruction sets.
[[maybe_unused]] __attribute__((noinline)) void activate_reals(const Requantize& q, float* v, std::int64_t n) {
  activate_row(q.activation, v, n);
}

/// Where a kernel writes: bytes, or floats. Distances in bytes.
struct Target {
  const Requantize& output;
  bool floats;

  std::int64_t size() const { return floats ? 4 : 1; }
};

/// Writes kLanes outputs of one pixel. `residual` may be null.
inline __attribute__((always_inline)) void finish_sums(const Target& target, Ints sum, Vector multiplier, Vector offset,
                                                       const std::uint8_t* residual, std::uint8_t* to) {
  const Requantize& q = target.output;
  Vector v = to_floats(sum) * multiplier;
  v = v + offset;
  if (residual) {
    const Vector r = to_floats(load_bytes(residual) - q.residual_zero) * q.residual_multiplier;
    v = v + r;
  }
  if (q.activation.kind != ActivationKind::none) {
    float reals[kLanes];
    std::memcpy(reals, &v, sizeof v);
    activate_reals(q, reals, kLanes);
    std::memcpy(&v, reals, sizeof v);
    if (!target.floats) v = v * q.rescale;
  }
  if (target.floats) {
    std::memcpy(to, &v, sizeof v);
  } else {
    store_bytes(to, nearest_even(clamp_vector(v, broadcast(q.low), broadcast(q.high))) + q.zero);
  }
}

}  // namespace
}  // namespace konv::KONV_ISA
