// Matrix products whose K lies innermost on both sides (a fully connected layer's weight [N][K] as it is saved): every element of the result is a
// dot product of two rows, nothing is packed. b may be of bfloat16, which is widened as it is read. Tiles of 4 x 4 results keep 16 sums, a vector of K
// positions each, that are folded at the end.
#include <type_traits>

#include "kernels/cpu/bfloat16.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/gemm/batch.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const GemmCode KONV_ISA_CODE(gemm_dots_f32), KONV_ISA_CODE(gemm_dots_wbf16);

namespace KONV_ISA {
namespace {

constexpr int kTileRows = kRegisters == 32 ? 4 : 2, kTileColumns = 4;
constexpr std::int64_t kStrip = 16;  // columns that are finished together

typedef float Four __attribute__((vector_size(16)));

template <class V>  // so that the branches for other widths are not looked at
inline __attribute__((always_inline)) Four fold(V v) {
  if constexpr (kLanes == 16) {
    return (__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 8, 9, 10, 11)) +
           (__builtin_shufflevector(v, v, 4, 5, 6, 7) + __builtin_shufflevector(v, v, 12, 13, 14, 15));
  } else if constexpr (kLanes == 8) {
    return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
  } else {
    return v;
  }
}

inline __attribute__((always_inline)) Four pairs(Four a, Four b) {
  return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}

using Bfloat16 = std::uint16_t;

inline __attribute__((always_inline)) Vector load_real(const float* p) { return load(p); }
inline __attribute__((always_inline)) Vector load_real(const Bfloat16* p) { return load_widened(p); }
inline float real(float x) { return x; }
inline float real(Bfloat16 x) { return float_from_bfloat16(x); }

/// sums[i][j] = a row i . b row j. The order of summation depends on k alone. A single row of a waits for b: the next tile's rows are fetched ahead, since what a
/// CPU fetches by itself ends with a page.
template <int Rows, int Columns, class B>
void multiply_tile(const float* a, std::int64_t a_row, const B* b, std::int64_t b_row, std::int64_t k, float* sums) {
  Vector acc[Rows][kTileColumns] = {};
  std::int64_t p = 0;
  for (; p + kLanes <= k; p += kLanes) {
    Vector y[Columns];
#pragma GCC unroll 4
    for (int j = 0; j < Columns; ++j) {
      y[j] = load_real(b + j * b_row + p);
      if constexpr (Rows == 1) __builtin_prefetch(b + (Columns + j) * b_row + p, 0, 2);
    }
#pragma GCC unroll 4
    for (int i = 0; i < Rows; ++i) {
      const Vector x = load(a + i * a_row + p);
#pragma GCC unroll 4
      for (int j = 0; j < Columns; ++j) acc[i][j] += x * y[j];
    }
  }
  if (p < k) {  // the rest of K, zeros behind it
    float x_rest[Rows][kLanes] = {}, y_rest[Columns][kLanes] = {};
    for (int i = 0; i < Rows; ++i) {
      for (std::int64_t q = p; q < k; ++q) x_rest[i][q - p] = a[i * a_row + q];
    }
    for (int j = 0; j < Columns; ++j) {
      for (std::int64_t q = p; q < k; ++q) y_rest[j][q - p] = real(b[j * b_row + q]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < Columns; ++j) acc[i][j] += load(x_rest[i]) * load(y_rest[j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < Rows; ++i) {
    const Four four = pairs(pairs(fold(acc[i][0]), fold(acc[i][1])), pairs(fold(acc[i][2]), fold(acc[i][3])));
    std::memcpy(sums + i * kStrip, &four, sizeof four);
  }
}

template <int Rows, class B>
void multiply_strip(const float* a, std::int64_t a_row, const B* b, std::int64_t b_row, std::int64_t columns, std::int64_t k, float* sums) {
  std::int64_t j = 0;
  for (; j + kTileColumns <= columns; j += kTileColumns) multiply_tile<Rows, kTileColumns>(a, a_row, b + j * b_row, b_row, k, sums + j);
  for (; j < columns; ++j) {  // the tile writes four sums, of which the first counts
    float tile[kTileRows * kStrip];
    multiply_tile<Rows, 1>(a, a_row, b + j * b_row, b_row, k, tile);
    for (int i = 0; i < Rows; ++i) sums[i * kStrip + j] = tile[i * kStrip];
  }
}

void finish(const GemmArgs& args, float* row, const float* c, float* out, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) row[j] *= args.alpha;
  if (c) {
    const std::int64_t step = column_stride(args.c);
    for (std::int64_t j = 0; j < count; ++j) row[j] += args.beta * c[j * step];
  }
  activate(args.activation, row, row, count);
  for (std::int64_t j = 0; j < count; ++j) out[j * column_stride(args.out)] = row[j];
}

/// Columns of a chunk: whole strips, enough work, whatever the number of rows; chunks in even number.
std::int64_t chunk_columns(const GemmShape& s) {
  const std::int64_t macs = larger(1, s.m * s.k);
  const std::int64_t columns = clamped(round_up(kChunkMacs / 4 / macs, kStrip), kStrip, round_up(larger(1, s.n), kStrip));
  const std::int64_t count = ceil_div(s.n, columns);
  return count < 3 ? columns : round_up(ceil_div(s.n, count / 2 * 2), kStrip);
}

std::int64_t chunks(const GemmShape& s) { return s.batch * ceil_div(s.n, chunk_columns(s)); }
std::size_t workspace(const GemmShape&) { return 0; }

template <class B>
void run(const GemmArgs& args, std::int64_t chunk, void*) {
  const GemmShape& s = args.shape;
  const std::int64_t strips = ceil_div(s.n, chunk_columns(s)), z = chunk / strips;
  const Range columns = piece(s.n, chunk_columns(s), chunk % strips);
  const float* a = args.a.f32() + matrix_offset(args.a, z);
  const B* b = static_cast<const B*>(args.b.data) + matrix_offset(args.b, z);
  const float* c = args.c.data ? args.c.f32() + matrix_offset(args.c, z) : nullptr;
  float* out = args.out.f32() + matrix_offset(args.out, z);
  const std::int64_t a_row = row_stride(args.a), b_row = column_stride(args.b);
  alignas(64) float sums[kTileRows * kStrip];
  for (std::int64_t j = columns.begin; j < columns.end; j += kStrip) {  // a strip of b stays in L1 or L2 while all rows of a pass
    const std::int64_t count = smaller(kStrip, columns.end - j);
    for (std::int64_t i = 0; i < s.m;) {
      const std::int64_t rows = s.m - i >= kTileRows ? kTileRows : 1;
      if (rows == kTileRows) {
        multiply_strip<kTileRows>(a + i * a_row, a_row, b + j * b_row, b_row, count, s.k, sums);
      } else {
        multiply_strip<1>(a + i * a_row, a_row, b + j * b_row, b_row, count, s.k, sums);
      }
      for (std::int64_t r = 0; r < rows; ++r) {
        finish(args, sums + r * kStrip, c ? c + (i + r) * row_stride(args.c) + j * column_stride(args.c) : nullptr,
               out + (i + r) * row_stride(args.out) + j * column_stride(args.out), count);
      }
      i += rows;
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const GemmCode KONV_ISA_CODE(gemm_dots_f32) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run<float>}};
const GemmCode KONV_ISA_CODE(gemm_dots_wbf16) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run<KONV_ISA::Bfloat16>},
                                                 DType::bfloat16};

}  // namespace konv
