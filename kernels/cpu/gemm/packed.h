// A matrix product on packed panels, for units compiled per instruction set.
//
//   a   for every block of kc rows of K: panels of kMr rows of A, [kc][rows]; the last panel has the rows that are left
//   b   panels of kNr columns of B, [K][kNr], zeros behind the last column
//   c   [m][ldc], ldc a multiple of kNr
//
// A B panel of one K block stays in L1 while the A panels stream past it. The order of summation depends on K alone.
#pragma once

#include <cstdint>

#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv::KONV_ISA {
namespace {

// Accumulators kMr x 2: enough to cover the latency of two multiply-add pipes, few enough for the registers.
inline constexpr int kMr = kRegisters == 32 ? 8 : (kLanes == 8 ? 6 : 4);
inline constexpr int kNr = 2 * kLanes;
inline constexpr std::int64_t kKc = 256;

[[maybe_unused]] std::int64_t packed_a_floats(std::int64_t m, std::int64_t k) { return m * k; }
[[maybe_unused]] std::int64_t packed_b_floats(std::int64_t n, std::int64_t k) { return (n + kNr - 1) / kNr * kNr * k; }

/// Element (i, p) of A lies at a[i row + p column].
[[maybe_unused]] void pack_a(const float* a, std::int64_t row, std::int64_t column, std::int64_t m, std::int64_t k, float* to) {
  for (std::int64_t p0 = 0; p0 < k; p0 += kKc) {
    const std::int64_t p1 = smaller(k, p0 + kKc);
    for (std::int64_t i0 = 0; i0 < m; i0 += kMr) {
      const std::int64_t i1 = smaller(m, i0 + kMr);
      for (std::int64_t p = p0; p < p1; ++p) {
        for (std::int64_t i = i0; i < i1; ++i) *to++ = a[i * row + p * column];
      }
    }
  }
}

/// Element (p, j) of B lies at b[p row + j column].
[[maybe_unused]] void pack_b(const float* b, std::int64_t row, std::int64_t column, std::int64_t k, std::int64_t n, float* to) {
  for (std::int64_t j0 = 0; j0 < n; j0 += kNr) {
    const std::int64_t width = smaller(kNr, n - j0);
    for (std::int64_t p = 0; p < k; ++p, to += kNr) {
      const float* from = b + p * row + j0 * column;
      if (column == 1 && width == kNr) {
        store(to, load(from));
        store(to + kLanes, load(from + kLanes));
        continue;
      }
      for (std::int64_t j = 0; j < width; ++j) to[j] = from[j * column];
      for (std::int64_t j = width; j < kNr; ++j) to[j] = 0;
    }
  }
}

template <int Rows>
void multiply_panel(const float* __restrict a, const float* __restrict b, std::int64_t kc, float* __restrict c, std::int64_t ldc,
                    bool add) {
  Vector low[Rows], high[Rows];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) low[i] = high[i] = Vector{};
  for (std::int64_t p = 0; p < kc; ++p) {
    const Vector b0 = load(b), b1 = load(b + kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      low[i] += a[i] * b0;
      high[i] += a[i] * b1;
    }
    a += Rows;
    b += kNr;
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    float* row = c + i * ldc;
    store(row, add ? load(row) + low[i] : low[i]);
    store(row + kLanes, add ? load(row + kLanes) + high[i] : high[i]);
  }
}

[[maybe_unused]] void multiply_rows(std::int64_t rows, const float* a, const float* b, std::int64_t kc, float* c, std::int64_t ldc,
                                    bool add) {
  switch (rows) {
    case 1: return multiply_panel<1>(a, b, kc, c, ldc, add);
    case 2: return multiply_panel<2>(a, b, kc, c, ldc, add);
    case 3: return multiply_panel<3>(a, b, kc, c, ldc, add);
    case 4: return multiply_panel<4>(a, b, kc, c, ldc, add);
    case 5: return multiply_panel < kMr >= 5 ? 5 : 1 > (a, b, kc, c, ldc, add);
    case 6: return multiply_panel < kMr >= 6 ? 6 : 1 > (a, b, kc, c, ldc, add);
    case 7: return multiply_panel < kMr >= 7 ? 7 : 1 > (a, b, kc, c, ldc, add);
    default: return multiply_panel<kMr>(a, b, kc, c, ldc, add);
  }
}

/// C rows [m0, m1) = A B, where `a` holds m rows, of which m0 is the first of a panel. `c` points at row m0.
[[maybe_unused]] void multiply_packed(const float* a, std::int64_t m, Range rows, const float* b, std::int64_t n, std::int64_t k, float* c,
                                      std::int64_t ldc) {
  for (std::int64_t p0 = 0; p0 < k; p0 += kKc) {
    const std::int64_t kc = smaller(kKc, k - p0);
    for (std::int64_t j0 = 0; j0 < n; j0 += kNr) {
      for (std::int64_t i0 = rows.begin; i0 < rows.end; i0 += kMr) {
        multiply_rows(smaller(kMr, rows.end - i0), a + p0 * m + i0 * kc, b + j0 * k + p0 * kNr, kc, c + (i0 - rows.begin) * ldc + j0, ldc,
                      p0 > 0);
      }
    }
  }
}

}  // namespace
}  // namespace konv::KONV_ISA
