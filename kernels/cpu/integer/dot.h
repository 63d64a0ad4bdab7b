// The heart of the integer kernels: sums of four products of an unsigned and a signed byte, one sum per lane.
//   VNNI      one instruction
//   AVX-512, AVX2   bytes widened to 16 bits, pairs multiplied and added in 32: exact, where adding pairs in 16 bits would saturate
//   portable  plain loops
// Only for units of an instruction set (per_isa.h).
#pragma once

#include <cstdint>

#include "kernels/cpu/per_isa.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace konv::KONV_ISA {
namespace {

typedef std::int32_t Ints __attribute__((vector_size(sizeof(std::int32_t) * kLanes)));
typedef std::uint8_t Bytes __attribute__((vector_size(kLanes)));

[[maybe_unused]] inline __attribute__((always_inline)) Ints load_ints(const void* p) {
  Ints v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

typedef std::int16_t Pairs __attribute__((vector_size(4 * kLanes)));

/// Adds x[0] w[l][0] + x[1] w[l][1] to every lane l; `x` is the two numbers over and over.
[[maybe_unused]] inline __attribute__((always_inline)) Ints add_products(Ints sum, Pairs x, Pairs w) {
#if defined(__AVX512VNNI__)
  return (Ints)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)x, (__m512i)w);
#elif defined(__AVX512BW__)
  return sum + (Ints)_mm512_madd_epi16((__m512i)x, (__m512i)w);
#elif defined(__AVX2__)
  return sum + (Ints)_mm256_madd_epi16((__m256i)x, (__m256i)w);
#else
  for (int l = 0; l < kLanes; ++l) sum[l] += std::int32_t{x[2 * l]} * w[2 * l] + std::int32_t{x[2 * l + 1]} * w[2 * l + 1];
  return sum;
#endif
}

#if defined(__AVX512VNNI__)
/// Four bytes of one pixel for all lanes.
using Quad = __m512i;
/// Weights of kLanes outputs and four inputs: byte i of lane l is weight[l][i].
inline constexpr int kQuadWeightBytes = 4 * kLanes;
using WeightQuad = __m512i;

inline __attribute__((always_inline)) Quad broadcast_quad(const std::uint8_t* x) {
  std::int32_t bytes;
  std::memcpy(&bytes, x, sizeof bytes);
  return _mm512_set1_epi32(bytes);
}
inline __attribute__((always_inline)) WeightQuad load_weights(const std::uint8_t* w) { return _mm512_load_si512(w); }
inline __attribute__((always_inline)) Ints dot(Ints sum, Quad x, const WeightQuad& w) {
  return (Ints)_mm512_dpbusd_epi32((__m512i)sum, x, w);
}

#elif defined(__AVX512BW__)
struct Quad {
  __m512i even, odd;  // bytes 0 and 2, 1 and 3, as 16-bit numbers
};
inline constexpr int kQuadWeightBytes = 8 * kLanes;
struct WeightQuad {
  __m512i even, odd;
};

inline __attribute__((always_inline)) Quad broadcast_quad(const std::uint8_t* x) {
  std::int32_t bytes;
  std::memcpy(&bytes, x, sizeof bytes);
  return {_mm512_set1_epi32(bytes & 0x00FF00FF), _mm512_set1_epi32((bytes >> 8) & 0x00FF00FF)};
}
inline __attribute__((always_inline)) WeightQuad load_weights(const std::uint8_t* w) {
  return {_mm512_load_si512(w), _mm512_load_si512(w + 4 * kLanes)};
}
inline __attribute__((always_inline)) Ints dot(Ints sum, const Quad& x, const WeightQuad& w) {
  const __m512i products = _mm512_add_epi32(_mm512_madd_epi16(x.even, w.even), _mm512_madd_epi16(x.odd, w.odd));
  return (Ints)_mm512_add_epi32((__m512i)sum, products);
}

#elif defined(__AVX2__)
struct Quad {
  __m256i even, odd;
};
inline constexpr int kQuadWeightBytes = 8 * kLanes;
struct WeightQuad {
  __m256i even, odd;
};

inline __attribute__((always_inline)) Quad broadcast_quad(const std::uint8_t* x) {
  std::int32_t bytes;
  std::memcpy(&bytes, x, sizeof bytes);
  const __m256i all = _mm256_set1_epi32(bytes);
  return {_mm256_and_si256(all, _mm256_set1_epi32(0x00FF00FF)), _mm256_srli_epi16(all, 8)};
}
inline __attribute__((always_inline)) WeightQuad load_weights(const std::uint8_t* w) {
  return {_mm256_load_si256(reinterpret_cast<const __m256i*>(w)), _mm256_load_si256(reinterpret_cast<const __m256i*>(w + 4 * kLanes))};
}
inline __attribute__((always_inline)) Ints dot(Ints sum, const Quad& x, const WeightQuad& w) {
  const __m256i products = _mm256_add_epi32(_mm256_madd_epi16(x.even, w.even), _mm256_madd_epi16(x.odd, w.odd));
  return (Ints)_mm256_add_epi32((__m256i)sum, products);
}

#else
struct Quad {
  std::int32_t x[4];
};
inline constexpr int kQuadWeightBytes = 8 * kLanes;
struct WeightQuad {
  std::int16_t w[4][kLanes];  // by input
};

inline __attribute__((always_inline)) Quad broadcast_quad(const std::uint8_t* x) { return {{x[0], x[1], x[2], x[3]}}; }
inline __attribute__((always_inline)) WeightQuad load_weights(const std::uint8_t* w) {
  WeightQuad quad;
  std::memcpy(&quad, w, sizeof quad);
  return quad;
}
inline __attribute__((always_inline)) Ints dot(Ints sum, const Quad& x, const WeightQuad& w) {
  for (int i = 0; i < 4; ++i) {
    for (int l = 0; l < kLanes; ++l) sum[l] += x.x[i] * w.w[i][l];
  }
  return sum;
}
#endif

/// Lays out the weights of kLanes outputs x four inputs as load_weights() wants them.
template <class WeightOf>
inline void store_weights(std::uint8_t* to, const WeightOf& weight_of) {
  for (int l = 0; l < kLanes; ++l) {
    for (int i = 0; i < 4; ++i) {
      const auto w = static_cast<std::int16_t>(weight_of(l, i));
#if defined(__AVX512VNNI__)
      to[4 * l + i] = static_cast<std::uint8_t>(w);
#elif defined(__AVX2__)
      std::memcpy(to + (i % 2) * 4 * kLanes + 4 * l + i / 2 * 2, &w, 2);
#else
      std::memcpy(to + 2 * (i * kLanes + l), &w, 2);
#endif
    }
  }
}

}  // namespace
}  // namespace konv::KONV_ISA
