// Pooling as its formula says it, for every strides. A window that lies in the padding altogether gives 0 (average) or -infinity (max).
#include <cmath>
#include <limits>

#include "kernels/cpu/pool/divisor.h"
#include "kernels/cpu/pool/pool.h"
#include "kernels/cpu/tiling.h"

namespace konv {
namespace {

PlaneTiles tiles(const PoolShape& s) {
  return tile_planes(s.batch * s.channels, s.out_h, s.out_w * s.kernel_h * s.kernel_w, kChunkMacs / 10);
}

float window(const PoolArgs& args, const float* plane, std::int64_t y, std::int64_t x) {
  const PoolShape& s = args.shape;
  float best = -std::numeric_limits<float>::infinity(), sum = 0;
  for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
    const std::int64_t iy = y * s.stride_h - s.pad_top + ky * s.dilation_h;
    if (iy < 0 || iy >= s.in_h) continue;
    for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
      const std::int64_t ix = x * s.stride_w - s.pad_left + kx * s.dilation_w;
      if (ix < 0 || ix >= s.in_w) continue;
      const float value = plane[iy * args.in.strides[2] + ix * args.in.strides[3]];
      best = best < value ? value : best;
      sum += value;
    }
  }
  if (!s.average) return best;
  const std::int64_t divisor = divisor_rows(s, y) * divisor_columns(s, x);
  return divisor ? sum / static_cast<float>(divisor) : 0.0f;
}

std::int64_t chunks(const PoolShape& s) { return tiles(s).count(); }
std::size_t workspace(const PoolShape&) { return 0; }

void run(const PoolArgs& args, std::int64_t chunk, void*) {
  const PoolShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const std::int64_t n = p / s.channels, c = p % s.channels;
    const float* plane = args.in.f32() + n * args.in.strides[0] + c * args.in.strides[1];
    float* out = args.out.f32() + n * args.out.strides[0] + c * args.out.strides[1];
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      for (std::int64_t x = 0; x < s.out_w; ++x) out[y * args.out.strides[2] + x * args.out.strides[3]] = window(args, plane, y, x);
    }
  }
}

}  // namespace

extern const PoolCode pool_reference_f32_code;
const PoolCode pool_reference_f32_code = {chunks, workspace, run};

}  // namespace konv
