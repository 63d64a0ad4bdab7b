// OpenBLAS, as baseline and for comparison. Calls are serialised (see openblas.h), so the kernel has one chunk.
#if KONV_HAVE_OPENBLAS

#include "kernels/cpu/gemm/openblas.h"

#include <cblas.h>

#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/gemm/batch.h"
#include "kernels/cpu/tiling.h"

namespace konv {

std::mutex& openblas_mutex() {
  static std::mutex mutex;
  return mutex;
}

namespace {

/// How BLAS is told about a matrix, seen row-major.
struct Operand {
  CBLAS_TRANSPOSE transpose;
  blasint stride;
  bool usable;  ///< BLAS knows no strides below the length of a row
};

Operand operand(const TensorView& v) {
  const std::int64_t rows = v.dims[v.rank - 2], columns = v.dims[v.rank - 1];
  const bool by_rows = columns == 1 || column_stride(v) == 1;
  const std::int64_t length = by_rows ? columns : rows, lines = by_rows ? rows : columns;
  const std::int64_t stride = lines == 1 ? length : (by_rows ? row_stride(v) : column_stride(v));
  const bool unit = by_rows || rows == 1 || row_stride(v) == 1;
  return {by_rows ? CblasNoTrans : CblasTrans, static_cast<blasint>(stride), unit && stride >= length && stride > 0 && stride <= INT32_MAX};
}

void finish(const GemmArgs& args, std::int64_t z) {
  const float* c = args.c.data ? args.c.f32() + matrix_offset(args.c, z) : nullptr;
  float* out = args.out.f32() + matrix_offset(args.out, z);
  float row[64];
  for (std::int64_t i = 0; i < args.shape.m; ++i) {
    for (std::int64_t j0 = 0; j0 < args.shape.n; j0 += 64) {
      const std::int64_t count = smaller(64, args.shape.n - j0), step = column_stride(args.out);
      float* to = out + i * row_stride(args.out) + j0 * step;
      for (std::int64_t j = 0; j < count; ++j) {
        row[j] = to[j * step];
        if (c) row[j] += args.beta * c[i * row_stride(args.c) + (j0 + j) * column_stride(args.c)];
      }
      activate(args.activation, row, row, count);
      for (std::int64_t j = 0; j < count; ++j) to[j * step] = row[j];
    }
  }
}

/// For operands with zero strides, which only the arguments show.
void multiply_plainly(const GemmArgs& args, const float* a, const float* b, float* out) {
  for (std::int64_t i = 0; i < args.shape.m; ++i) {
    for (std::int64_t j = 0; j < args.shape.n; ++j) {
      float sum = 0;
      for (std::int64_t p = 0; p < args.shape.k; ++p) {
        sum += a[i * row_stride(args.a) + p * column_stride(args.a)] * b[p * row_stride(args.b) + j * column_stride(args.b)];
      }
      out[i * row_stride(args.out) + j * column_stride(args.out)] = args.alpha * sum;
    }
  }
}

std::int64_t chunks(const GemmShape&) { return 1; }
std::size_t workspace(const GemmShape&) { return 0; }

void run(const GemmArgs& args, std::int64_t, void*) {
  const GemmShape& s = args.shape;
  const Operand a = operand(args.a), b = operand(args.b), out = operand(args.out);
  const auto m = static_cast<blasint>(s.m), n = static_cast<blasint>(s.n), k = static_cast<blasint>(s.k);
  const auto flipped = [](CBLAS_TRANSPOSE t) { return t == CblasNoTrans ? CblasTrans : CblasNoTrans; };
  for (std::int64_t z = 0; z < s.batch; ++z) {
    const float* pa = args.a.f32() + matrix_offset(args.a, z);
    const float* pb = args.b.f32() + matrix_offset(args.b, z);
    float* po = args.out.f32() + matrix_offset(args.out, z);
    if (!a.usable || !b.usable || !out.usable) {
      multiply_plainly(args, pa, pb, po);
    } else if (out.transpose == CblasNoTrans) {
      const std::lock_guard lock(openblas_mutex());
      cblas_sgemm(CblasRowMajor, a.transpose, b.transpose, m, n, k, args.alpha, pa, a.stride, pb, b.stride, 0.0f, po, out.stride);
    } else {  // the transposed product: out' = b' a'
      const std::lock_guard lock(openblas_mutex());
      cblas_sgemm(CblasRowMajor, flipped(b.transpose), flipped(a.transpose), n, m, k, args.alpha, pb, b.stride, pa, a.stride, 0.0f, po,
                  out.stride);
    }
    finish(args, z);
  }
}

}  // namespace

extern const GemmCode gemm_openblas_f32_code;
const GemmCode gemm_openblas_f32_code = {{chunks, workspace, run}};

}  // namespace konv

#endif
