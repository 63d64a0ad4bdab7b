#include "kernels/cuda/device.h"

#include <algorithm>
#include <vector>

namespace konv::cuda {
namespace {

float decode(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  float value = exponent == 31 ? (mantissa ? NAN : INFINITY)
                               : std::ldexp(static_cast<float>(exponent ? mantissa + 1024 : mantissa), (exponent ? exponent : 1) - 25);
  return bits >> 15 ? -value : value;
}

const float* decoded() {
  static const std::vector<float> table = [] {
    std::vector<float> t(1 << 16);
    for (std::size_t i = 0; i < t.size(); ++i) t[i] = decode(static_cast<std::uint16_t>(i));
    return t;
  }();
  return table.data();
}

struct Shuffle {
  float value, result;
  int lanes;
};

void shuffle_warp(simt::Counters&, void* const* operands) {
  const auto at = [&](int lane) { return static_cast<Shuffle*>(operands[lane]); };
  for (int i = 0; i < simt::kWarp; ++i) at(i)->result = at(i ^ at(i)->lanes)->value;
}

struct LoadMatrices {
  std::uint32_t* registers;
  const void* row;
};

void load_matrices_warp(simt::Counters& counters, void* const* operands) {
  const auto at = [&](int lane) { return static_cast<LoadMatrices*>(operands[lane]); };
  for (int m = 0; m < 4; ++m) {
    std::uintptr_t rows[8];
    int banks[8] = {};  // of 16 bytes
    for (int i = 0; i < 8; ++i) {
      rows[i] = reinterpret_cast<std::uintptr_t>(at(8 * m + i)->row);
      // The same row twice is no conflict.
      if (std::find(rows, rows + i, rows[i]) == rows + i) ++banks[rows[i] / 16 % 8];
    }
    counters.ldmatrix += 1;
    counters.shared_accesses += 1;
    counters.bank_conflicts += *std::max_element(banks, banks + 8) - 1;
    for (int lane = 0; lane < simt::kWarp; ++lane)
      std::memcpy(&at(lane)->registers[m], static_cast<const char*>(at(8 * m + lane / 4)->row) + 4 * (lane % 4), 4);
  }
}

struct Mma {
  float* c;
  const std::uint32_t *a, *b;
};

/// c += a b for one warp, k columns of a; `element(words, i)` is number i of a lane's register words.
template <int k, class A, class B>
void multiply(void* const* operands, const A& place_a, const B& place_b) {
  float a[16][k], b[k][8];
  for (int lane = 0; lane < simt::kWarp; ++lane) {
    const auto* o = static_cast<const Mma*>(operands[lane]);
    place_a(lane / 4, lane % 4, o->a, a);
    place_b(lane / 4, lane % 4, o->b, b);
  }
  for (int lane = 0; lane < simt::kWarp; ++lane) {
    const auto* o = static_cast<const Mma*>(operands[lane]);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + (i / 2) * 8, column = 2 * (lane % 4) + i % 2;
      float sum = o->c[i];
      for (int j = 0; j < k; ++j) sum += a[row][j] * b[j][column];
      o->c[i] = sum;
    }
  }
}

void mma_f16_warp(simt::Counters& counters, void* const* operands) {
  counters.mma += 1;
  const float* table = decoded();
  const auto low = [table](std::uint32_t word) { return table[word & 0xffffu]; };
  const auto high = [table](std::uint32_t word) { return table[word >> 16]; };
  multiply<16>(
      operands,
      [&](int g, int t, const std::uint32_t* w, float(&a)[16][16]) {
        for (int i = 0; i < 4; ++i) {
          const int row = g + (i % 2) * 8, column = 2 * t + (i / 2) * 8;
          a[row][column] = low(w[i]);
          a[row][column + 1] = high(w[i]);
        }
      },
      [&](int g, int t, const std::uint32_t* w, float(&b)[16][8]) {
        for (int i = 0; i < 2; ++i) {
          b[2 * t + i * 8][g] = low(w[i]);
          b[2 * t + i * 8 + 1][g] = high(w[i]);
        }
      });
}

void mma_tf32_warp(simt::Counters& counters, void* const* operands) {
  counters.mma += 1;
  // The tensor cores read the upper 19 bits.
  const auto number = [](std::uint32_t word) { return std::bit_cast<float>(word & ~0x1fffu); };
  multiply<8>(
      operands,
      [&](int g, int t, const std::uint32_t* w, float(&a)[16][8]) {
        for (int i = 0; i < 4; ++i) a[g + (i % 2) * 8][t + (i / 2) * 4] = number(w[i]);
      },
      [&](int g, int t, const std::uint32_t* w, float(&b)[8][8]) {
        for (int i = 0; i < 2; ++i) b[t + i * 4][g] = number(w[i]);
      });
}

}  // namespace

float half_to_float(std::uint16_t bits) { return decoded()[bits]; }

/// Nearest, ties to even.
std::uint16_t float_to_half(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x), magnitude = bits & 0x7fffffffu;
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7fffu);   // NaN
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // 65520 and more round to infinity
  if (magnitude < 0x38800000u) {                                                    // subnormal: units of 2^-24
    return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f)));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
  return static_cast<std::uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

float shuffle_xor(float x, int lanes, Site site) {
  Shuffle operand{x, 0, lanes};
  simt::meet("shuffle_xor", shuffle_warp, &operand, site);
  return operand.result;
}

void load_matrices(std::uint32_t (&r)[4], const void* row, Site site) {
  simt::access_matrix_row(row, site);
  LoadMatrices operand{r, row};
  simt::meet("ldmatrix", load_matrices_warp, &operand, site);
}

void mma_f16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Site site) {
  Mma operand{c, a, b};
  simt::meet("mma", mma_f16_warp, &operand, site);
}

void mma_tf32(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Site site) {
  Mma operand{c, a, b};
  simt::meet("mma", mma_tf32_warp, &operand, site);
}

}  // namespace konv::cuda
