// Integer pooling by its definition on plain images, 8 or 16 bits.
#include <algorithm>

#include "kernels/cpu/integer/element.h"
#include "kernels/cpu/integer/quant.h"
#include "kernels/cpu/pool/divisor.h"

namespace konv {

extern const IntegerPoolCode pool_integer_reference_code;

namespace {

PlaneTiles tiles(const PoolShape& s) {
  return tile_planes(s.batch * s.channels, s.out_h, s.out_w * (s.kernel_h * s.kernel_w + 2), kChunkElements / 4);
}

std::int64_t chunks(const IntegerPoolShape& s) { return tiles(s.pool).count(); }
std::size_t workspace(const IntegerPoolShape&) { return 0; }

/// Sum or maximum of x - zero over the taps inside the image; 0 where there is none.
std::int64_t window(const IntegerPoolArgs& args, std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) {
  const PoolShape& s = args.shape.pool;
  const TensorView& in = args.in;
  std::int64_t acc = 0;
  bool any = false;
  for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
    for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
      const std::int64_t iy = y * s.stride_h + ky * s.dilation_h - s.pad_top, ix = x * s.stride_w + kx * s.dilation_w - s.pad_left;
      if (iy < 0 || iy >= s.in_h || ix < 0 || ix >= s.in_w) continue;
      const std::int64_t value =
          integer_at(in, n * in.strides[0] + c * in.strides[1] + iy * in.strides[2] + ix * in.strides[3]) - args.in_zero;
      acc = s.average ? acc + value : any ? std::max(acc, value) : value;
      any = true;
    }
  }
  return acc;
}

void run(const IntegerPoolArgs& args, std::int64_t chunk, void*) {
  const PoolShape& s = args.shape.pool;
  const TensorView& out = args.out;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const std::int64_t n = p / s.channels, c = p % s.channels;
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      for (std::int64_t x = 0; x < s.out_w; ++x) {
        const float divisor = static_cast<float>(std::max<std::int64_t>(1, divisor_rows(s, y) * divisor_columns(s, x)));
        const float multiplier = s.average ? args.multiplier / divisor : args.multiplier;
        const float v = to_real(args.output, window(args, n, c, y, x), multiplier, 0.0f, {}, 0);
        write_output(out, n * out.strides[0] + c * out.strides[1] + y * out.strides[2] + x * out.strides[3], args.output, v);
      }
    }
  }
}

}  // namespace

const IntegerPoolCode pool_integer_reference_code = {chunks, workspace, run};

}  // namespace konv
