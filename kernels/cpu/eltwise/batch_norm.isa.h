// Batch normalization where it could not be folded into a convolution: y = x scale + shift, per channel.
#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const BatchNormCode KONV_ISA_CODE(batch_norm_f32);

namespace KONV_ISA {
namespace {

/// Planes as rows of one unit: a chunk is some planes, or a part of a large one.
PlaneTiles tiles(const BatchNormShape& s) { return tile_planes(s.batch * s.channels, s.pixels, 1, kChunkElements); }

std::int64_t chunks(const BatchNormShape& s) { return tiles(s).count(); }
std::size_t workspace(const BatchNormShape&) { return 0; }

/// The pixels of one plane.
TensorView plane_of(const TensorView& v, std::int64_t n, std::int64_t c) {
  TensorView plane = v;
  plane.data = v.f32() + n * v.strides[0] + (v.rank > 1 ? c * v.strides[1] : 0);
  plane.rank = v.rank > 2 ? v.rank - 2 : 0;
  for (int d = 0; d < plane.rank; ++d) {
    plane.dims[d] = v.dims[d + 2];
    plane.strides[d] = v.strides[d + 2];
  }
  return plane;
}

void run(const BatchNormArgs& args, std::int64_t chunk, void*) {
  const BatchNormShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range pixels = piece(s.pixels, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const std::int64_t n = p / s.channels, c = p % s.channels;
    const float scale = args.gamma[c] / __builtin_sqrtf(args.variance[c] + args.epsilon), mean = args.mean[c], beta = args.beta[c];
    const TensorView in = plane_of(args.in, n, c), out = plane_of(args.out, n, c);
    const StridedLoop<2> loop = collapse<2>({&in, &out});
    for_runs(loop, pixels.begin, pixels.end, [&](const std::int64_t* at, std::int64_t count) {
      const float* x = in.f32() + at[0];
      float* y = out.f32() + at[1];
      const std::int64_t x_step = loop.step(0), y_step = loop.step(1);
      if (x_step == 1 && y_step == 1) {
#pragma GCC ivdep
        for (std::int64_t i = 0; i < count; ++i) y[i] = (x[i] - mean) * scale + beta;
      } else {
        for (std::int64_t i = 0; i < count; ++i) y[i * y_step] = (x[i * x_step] - mean) * scale + beta;
      }
    });
  }
}

}  // namespace
}  // namespace KONV_ISA

const BatchNormCode KONV_ISA_CODE(batch_norm_f32) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
