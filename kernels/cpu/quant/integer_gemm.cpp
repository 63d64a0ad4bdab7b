// The product as its formula says it, in int32.
#include "kernels/cpu/gemm/batch.h"
#include "kernels/cpu/quant/quant.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

const char* refuse_integer_gemm_wide(const IntegerGemmShape& s) {
  const auto byte = [](DType t) { return t == DType::uint8 || t == DType::int8; };
  return byte(s.a) && byte(s.b) ? nullptr : "operands are not int8 or uint8";
}

double cost_integer_gemm(const IntegerGemmShape& s, const Machine&) {
  return kNaiveSeconds * static_cast<double>(s.batch * s.m * s.n * s.k) + kCallSeconds;
}

PlaneTiles tiles(const IntegerGemmShape& s) { return tile_planes(s.batch, s.m, s.n * s.k, kChunkMacs / 10); }
std::int64_t chunks(const IntegerGemmShape& s) { return tiles(s).count(); }
std::size_t workspace(const IntegerGemmShape&) { return 0; }

std::int32_t at(DType dtype, const void* data, std::int64_t i) {
  return dtype == DType::uint8 ? static_cast<const std::uint8_t*>(data)[i] : static_cast<const std::int8_t*>(data)[i];
}

std::int32_t zero_at(const TensorView& zero, std::int64_t i) { return zero.data ? at(zero.dtype, zero.data, zero.count() > 1 ? i : 0) : 0; }

void run(const IntegerGemmArgs& args, std::int64_t chunk, void*) {
  const IntegerGemmShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range matrices = piece(s.batch, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.m, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t z = matrices.begin; z < matrices.end; ++z) {
    const std::int64_t a = matrix_offset(args.a, z), b = matrix_offset(args.b, z), out = matrix_offset(args.out, z);
    for (std::int64_t i = rows.begin; i < rows.end; ++i) {
      for (std::int64_t j = 0; j < s.n; ++j) {
        std::int32_t sum = 0;
        const std::int32_t a_zero = zero_at(args.a_zero, i), b_zero = zero_at(args.b_zero, j);
        for (std::int64_t p = 0; p < s.k; ++p) {
          const std::int32_t x = at(s.a, args.a.data, a + i * row_stride(args.a) + p * column_stride(args.a)) - a_zero;
          const std::int32_t y = at(s.b, args.b.data, b + p * row_stride(args.b) + j * column_stride(args.b)) - b_zero;
          sum = add(sum, x * y);
        }
        static_cast<std::int32_t*>(args.out.data)[out + i * row_stride(args.out) + j * column_stride(args.out)] = sum;
      }
    }
  }
}

extern const IntegerGemmCode integer_gemm_reference_code;
const IntegerGemmCode integer_gemm_reference_code = {chunks, workspace, run};

}  // namespace

std::span<const IntegerGemmKernel> integer_gemm_kernels() {
  static const IntegerGemmKernel kernels[] = {
#define KONV_INTEGER_GEMM(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/quant/integer_gemm_kernels.inc"
#undef KONV_INTEGER_GEMM
  };
  return kernels;
}

}  // namespace konv
