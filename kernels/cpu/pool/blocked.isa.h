// Pooling of blocked images: a vector is the channels of one pixel, windows are clipped to the image.
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/pool/divisor.h"
#include "kernels/cpu/pool/pool.h"

namespace konv {

extern const PoolCode KONV_ISA_CODE(pool_blocked_f32);

namespace KONV_ISA {
namespace {

std::int64_t blocks(const PoolShape& s) { return ceil_div(s.channels, kLanes); }

PlaneTiles tiles(const PoolShape& s) {
  return tile_planes(s.batch * blocks(s), s.out_h, s.out_w * (s.kernel_h * s.kernel_w + 2) * kLanes, kChunkMacs / 2);
}

/// Taps of the window from `start` on that lie in [0, size).
Range inside(std::int64_t start, std::int64_t kernel, std::int64_t dilation, std::int64_t size) {
  const std::int64_t begin = start < 0 ? ceil_div(-start, dilation) : 0;
  const std::int64_t end = size > start ? ceil_div(size - start, dilation) : 0;
  return {begin, larger(begin, smaller(kernel, end))};
}

template <bool Average>
Vector window(const PoolShape& s, const TensorView& in, const float* from, Range ky, Range kx) {
  Vector acc = broadcast(Average ? 0.0f : -__builtin_inff());
  for (std::int64_t y = ky.begin; y < ky.end; ++y) {
    const float* row = from + y * s.dilation_h * in.strides[2];
    for (std::int64_t x = kx.begin; x < kx.end; ++x) {
      const Vector value = load(row + x * s.dilation_w * kLanes);
      if constexpr (Average) {
        acc += value;
      } else {
        acc = acc < value ? value : acc;
      }
    }
  }
  return acc;
}

void row(const PoolArgs& args, std::int64_t n, std::int64_t block, std::int64_t y) {
  const PoolShape& s = args.shape;
  const TensorView &in = args.in, &out = args.out;
  const std::int64_t top = y * s.stride_h - s.pad_top;
  const Range ky = inside(top, s.kernel_h, s.dilation_h, s.in_h);
  const float* from = in.f32() + n * in.strides[0] + block * in.strides[1] + top * in.strides[2];
  float* to = out.f32() + n * out.strides[0] + block * out.strides[1] + y * out.strides[2];
  const std::int64_t rows = s.average ? divisor_rows(s, y) : 0, channels = s.channels - block * kLanes;
  for (std::int64_t x = 0; x < s.out_w; ++x, to += kLanes) {
    const std::int64_t left = x * s.stride_w - s.pad_left;
    const Range kx = inside(left, s.kernel_w, s.dilation_w, s.in_w);
    if (s.average) {
      const std::int64_t divisor = rows * divisor_columns(s, x);
      store(to, window<true>(s, in, from + left * kLanes, ky, kx) / static_cast<float>(larger(1, divisor)));
    } else {
      store(to, window<false>(s, in, from + left * kLanes, ky, kx));
    }
    for (std::int64_t lane = channels; lane < kLanes; ++lane) to[lane] = 0;
  }
}

std::int64_t chunks(const PoolShape& s) { return tiles(s).count(); }
std::size_t workspace(const PoolShape&) { return 0; }

void run(const PoolArgs& args, std::int64_t chunk, void*) {
  const PoolShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * blocks(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    for (std::int64_t y = rows.begin; y < rows.end; ++y) row(args, p / blocks(s), p % blocks(s), y);
  }
}

}  // namespace
}  // namespace KONV_ISA

const PoolCode KONV_ISA_CODE(pool_blocked_f32) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
