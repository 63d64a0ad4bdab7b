// Matrix products of any strides: a chunk packs a strip of columns of B and, panel by panel, the rows of A.
// One row (a fully connected layer on one image) is not packed: B would be read twice.
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/gemm/batch.h"
#include "kernels/cpu/gemm/packed.h"

namespace konv {

extern const GemmCode KONV_ISA_CODE(gemm_packed_f32);

namespace KONV_ISA {
namespace {

constexpr std::int64_t kRowStep = 4 * kMr;  // rows of A that are packed together

struct Strips {
  std::int64_t columns, count;    ///< of B
  std::int64_t rows, row_strips;  ///< of A
};

Strips strips(const GemmShape& s) {
  Strips t;
  const std::int64_t m = larger(1, s.m), n = larger(1, s.n), k = larger(1, s.k);
  // Enough multiply-adds for a chunk, whole panels, at most 512 KiB of packed B.
  const std::int64_t most = larger(kNr, (128 << 10) / k / kNr * kNr);
  const std::int64_t macs = m == 1 ? kChunkMacs / 4 : kChunkMacs;  // one row waits for memory
  t.columns = clamped(round_up(macs / (m * k), kNr), kNr, most);
  t.count = (n + t.columns - 1) / t.columns;
  // Many rows over few columns: each part packs the same columns once more, which many rows pay for.
  const std::int64_t parts = t.count * s.batch >= 8 ? 1 : clamped(m / (8 * kRowStep), 1, 8);
  t.rows = round_up((m + parts - 1) / parts, kRowStep);
  t.row_strips = (m + t.rows - 1) / t.rows;
  return t;
}

std::int64_t chunks(const GemmShape& s) {
  const Strips t = strips(s);
  return s.batch * t.count * t.row_strips;
}

std::size_t workspace(const GemmShape& s) {
  const std::int64_t columns = strips(s).columns;
  if (s.m == 1) return static_cast<std::size_t>(columns) * sizeof(float);
  return static_cast<std::size_t>(columns * s.k + kRowStep * (s.k + columns)) * sizeof(float);
}

void finish(const GemmArgs& args, float* row, const float* c, float* out, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j) row[j] *= args.alpha;
  if (c) {
    const std::int64_t step = column_stride(args.c);
    for (std::int64_t j = 0; j < count; ++j) row[j] += args.beta * c[j * step];
  }
  if (column_stride(args.out) == 1 || count == 1) {
    activate(args.activation, row, out, count);
  } else {
    activate(args.activation, row, row, count);
    for (std::int64_t j = 0; j < count; ++j) out[j * column_stride(args.out)] = row[j];
  }
}

/// The sum of x[p] y[p] in a fixed order.
float dot(const float* x, std::int64_t x_step, const float* y, std::int64_t n) {
  Vector sums[4] = {};
  std::int64_t p = 0;
  if (x_step == 1) {
    for (; p + 4 * kLanes <= n; p += 4 * kLanes) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) sums[v] += load(x + p + v * kLanes) * load(y + p + v * kLanes);
    }
  }
  float lanes[kLanes];
  store(lanes, (sums[0] + sums[1]) + (sums[2] + sums[3]));
  float sum = 0;
  for (; p < n; ++p) sum += x[p * x_step] * y[p];
  for (int i = 0; i < kLanes; ++i) sum += lanes[i];
  return sum;
}

/// row[j] = sum over p of a[p] b[p][j], for columns [0, count).
void multiply_vector(const GemmArgs& args, const float* a, const float* b, std::int64_t count, float* row) {
  const std::int64_t k = args.shape.k, step = column_stride(args.a), b_row = row_stride(args.b), b_column = column_stride(args.b);
  if (b_row == 1) {
    for (std::int64_t j = 0; j < count; ++j) row[j] = dot(a, step, b + j * b_column, k);
    return;
  }
  for (std::int64_t j = 0; j < count; ++j) row[j] = 0;
  for (std::int64_t p = 0; p < k; ++p) {
    const float x = a[p * step];
    const float* from = b + p * b_row;
    if (b_column == 1) {
      for (std::int64_t j = 0; j < count; ++j) row[j] += x * from[j];
    } else {
      for (std::int64_t j = 0; j < count; ++j) row[j] += x * from[j * b_column];
    }
  }
}

void run(const GemmArgs& args, std::int64_t chunk, void* workspace) {
  const GemmShape& s = args.shape;
  const Strips t = strips(s);
  const Range rows = piece(s.m, t.rows, chunk % t.row_strips);
  chunk /= t.row_strips;
  const Range columns = piece(s.n, t.columns, chunk % t.count);
  const std::int64_t z = chunk / t.count;
  const float* a = args.a.f32() + matrix_offset(args.a, z);
  const float* b = args.b.f32() + matrix_offset(args.b, z) + columns.begin * column_stride(args.b);
  const float* c = args.c.data ? args.c.f32() + matrix_offset(args.c, z) + columns.begin * column_stride(args.c) : nullptr;
  float* out = args.out.f32() + matrix_offset(args.out, z) + columns.begin * column_stride(args.out);

  float* sums = static_cast<float*>(workspace);
  if (s.m == 1) {
    multiply_vector(args, a, b, columns.size(), sums);
    finish(args, sums, c, out, columns.size());
    return;
  }
  float* packed_b = sums + kRowStep * t.columns;
  float* packed_rows = packed_b + t.columns * s.k;
  pack_b(b, row_stride(args.b), column_stride(args.b), s.k, columns.size(), packed_b);
  for (std::int64_t i0 = rows.begin; i0 < rows.end; i0 += kRowStep) {
    const std::int64_t count = smaller(kRowStep, rows.end - i0);
    pack_a(a + i0 * row_stride(args.a), row_stride(args.a), column_stride(args.a), count, s.k, packed_rows);
    multiply_packed(packed_rows, count, {0, count}, packed_b, columns.size(), s.k, sums, t.columns);
    for (std::int64_t i = 0; i < count; ++i) {
      const float* c_row = c ? c + (i0 + i) * row_stride(args.c) : nullptr;
      finish(args, sums + i * t.columns, c_row, out + (i0 + i) * row_stride(args.out), columns.size());
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const GemmCode KONV_ISA_CODE(gemm_packed_f32) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run}};

}  // namespace konv
