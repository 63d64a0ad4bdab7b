// The end of a tile of blocked output channels x pixels: finish.h with what all of them share done once.
// Only for units of an instruction set (per_isa.h).
#pragma once

#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish.h"

namespace konv::KONV_ISA {
namespace {

/// The sums of a tile, [vector of output channels][row][pixel], and where they go; pixels lie kIntegerBlock elements apart, in the residual, too.
struct TileSums {
  const Ints* sums;
  int vectors, rows, width;
  const float *multiplier, *offset;                ///< of the first vector's channels
  std::int64_t out_row, residual_row;              ///< bytes from row to row
  std::int64_t out_vector[4], residual_vector[4];  ///< bytes from the first vector to each
};

/// finish_sums() for a tile. One function for all tiles; `residual` may be null.
__attribute__((noinline)) void finish_tile(const Target& target, const TileSums& t, const std::uint8_t* residual, std::uint8_t* out) {
  const Requantize& q = target.output;
  const auto each_row = [&](const auto& row) __attribute__((always_inline)) {
    const Ints* sums = t.sums;
    for (int v = 0; v < t.vectors; ++v) {
      const Vector multiplier = load(t.multiplier + v * kLanes), offset = load(t.offset + v * kLanes);
      for (int r = 0; r < t.rows; ++r, sums += t.width) {
        const std::uint8_t* add = residual ? residual + t.residual_vector[v] + r * t.residual_row : nullptr;
        row(sums, multiplier, offset, add, out + t.out_vector[v] + r * t.out_row);
      }
    }
  };
  if (target.floats || q.activation.kind != ActivationKind::none) {
    each_row([&](const Ints* sums, Vector multiplier, Vector offset, const std::uint8_t* add, std::uint8_t* to) {
      for (int p = 0; p < t.width; ++p) {
        finish_sums(target, sums[p], multiplier, offset, residual ? add + p * kIntegerBlock : nullptr,
                    to + p * kIntegerBlock * target.size());
      }
    });
    return;
  }
  const Vector low = broadcast(q.low), high = broadcast(q.high), residual_multiplier = broadcast(q.residual_multiplier);
  const Ints residual_zero = Ints{} + q.residual_zero;
  const auto write = [&](const auto& added) __attribute__((always_inline)) {
    each_row([&](const Ints* sums, Vector multiplier, Vector offset, const std::uint8_t* add,
                 std::uint8_t* to) __attribute__((always_inline)) {
      const auto real = [&](int p) __attribute__((always_inline)) {
        return added(to_floats(sums[p]) * multiplier + offset, add, p * kIntegerBlock);
      };
      int p = 0;
#if defined(__AVX512F__)
      if (q.low == static_cast<float>(-q.zero)) {
        // The lower bound is where bytes begin, so packing with saturation keeps to it; NaN and what is below 32 bits become the least integer.
        const __m512i zero = _mm512_set1_epi16(static_cast<short>(q.zero));
        const auto integer = [&](int i) __attribute__((always_inline)) {
          const Vector v = real(i);
          return nearest_even(high < v ? high : v);
        };
        for (; p + 4 <= t.width; p += 4) {
          const __m512i ab = pack_pairs(integer(p), integer(p + 1), zero), cd = pack_pairs(integer(p + 2), integer(p + 3), zero);
          _mm512_storeu_si512(to + p * kIntegerBlock, bytes_in_order(ab, cd));
        }
        if (p + 2 <= t.width) {
          const __m512i ab = pack_pairs(integer(p), integer(p + 1), zero), two = bytes_in_order(ab, ab);
          std::memcpy(to + p * kIntegerBlock, &two, 2 * kIntegerBlock);
          p += 2;
        }
      }
#endif
      for (; p < t.width; ++p) store_bytes(to + p * kIntegerBlock, nearest_even(clamp_vector(real(p), low, high)) + q.zero);
    });
  };
  if (!residual) {
    write([](Vector v, const std::uint8_t*, int) __attribute__((always_inline)) { return v; });
  } else if (q.residual_zero == 0) {
    write([&](Vector v, const std::uint8_t* add, int at)
              __attribute__((always_inline)) { return v + to_floats(load_bytes(add + at)) * residual_multiplier; });
  } else {
    write([&](Vector v, const std::uint8_t* add, int at)
              __attribute__((always_inline)) { return v + to_floats(load_bytes(add + at) - residual_zero) * residual_multiplier; });
  }
}

}  // namespace
}  // namespace konv::KONV_ISA
