// The product as its formula says it, for every strides.
#include "kernels/cpu/gemm/batch.h"
#include "kernels/cpu/tiling.h"

namespace konv {
namespace {

PlaneTiles tiles(const GemmShape& s) { return tile_planes(s.batch, s.m, s.n * s.k, kChunkMacs / 10); }

std::int64_t chunks(const GemmShape& s) { return tiles(s).count(); }
std::size_t workspace(const GemmShape&) { return 0; }

void run(const GemmArgs& args, std::int64_t chunk, void*) {
  const GemmShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range matrices = piece(s.batch, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.m, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t z = matrices.begin; z < matrices.end; ++z) {
    const float* a = args.a.f32() + matrix_offset(args.a, z);
    const float* b = args.b.f32() + matrix_offset(args.b, z);
    const float* c = args.c.data ? args.c.f32() + matrix_offset(args.c, z) : nullptr;
    float* out = args.out.f32() + matrix_offset(args.out, z);
    for (std::int64_t i = rows.begin; i < rows.end; ++i) {
      for (std::int64_t j = 0; j < s.n; ++j) {
        float sum = 0;
        for (std::int64_t p = 0; p < s.k; ++p) {
          sum += a[i * row_stride(args.a) + p * column_stride(args.a)] * b[p * row_stride(args.b) + j * column_stride(args.b)];
        }
        sum *= args.alpha;
        if (c) sum += args.beta * c[i * row_stride(args.c) + j * column_stride(args.c)];
        out[i * row_stride(args.out) + j * column_stride(args.out)] = apply(args.activation, sum);
      }
    }
  }
}

}  // namespace

extern const GemmCode gemm_reference_f32_code;
const GemmCode gemm_reference_f32_code = {{chunks, workspace, run}};

}  // namespace konv
