// The convolution as its formula says it, for every shape and every strides. Nothing is faster to check.
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/tiling.h"

namespace konv {
namespace {

PlaneTiles tiles(const ConvShape& s) { return tile_planes(s.batch * s.out_channels, s.out_h(), s.out_w() * s.k(), kChunkMacs / 10); }

/// The sum behind output (n, o, y, x), in the order channel, row, column.
float at(const ConvArgs& args, std::int64_t n, std::int64_t o, std::int64_t y, std::int64_t x) {
  const ConvShape& s = args.shape;
  const TensorView& in = args.in;
  const std::int64_t first_channel = o / s.group_out() * s.group_in();
  const float* weight = static_cast<const float*>(args.weight) + o * s.k();
  float sum = 0;
  for (std::int64_t c = 0; c < s.group_in(); ++c) {
    const float* plane = in.f32() + n * in.strides[0] + (first_channel + c) * in.strides[1];
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      const std::int64_t iy = y * s.stride_h - s.pad_top + ky * s.dilation_h;
      if (iy < 0 || iy >= s.in_h) continue;
      for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
        const std::int64_t ix = x * s.stride_w - s.pad_left + kx * s.dilation_w;
        if (ix < 0 || ix >= s.in_w) continue;
        sum += plane[iy * in.strides[2] + ix * in.strides[3]] * weight[(c * s.kernel_h + ky) * s.kernel_w + kx];
      }
    }
  }
  return sum;
}

void run_plane(const ConvArgs& args, std::int64_t plane, Range rows) {
  const ConvShape& s = args.shape;
  const std::int64_t n = plane / s.out_channels, o = plane % s.out_channels;
  const TensorView &out = args.out, &residual = args.residual;
  for (std::int64_t y = rows.begin; y < rows.end; ++y) {
    for (std::int64_t x = 0; x < s.out_w(); ++x) {
      float sum = at(args, n, o, y, x);
      if (args.bias) sum += args.bias[o];
      if (residual.data)
        sum += residual.f32()[n * residual.strides[0] + o * residual.strides[1] + y * residual.strides[2] + x * residual.strides[3]];
      out.f32()[n * out.strides[0] + o * out.strides[1] + y * out.strides[2] + x * out.strides[3]] = apply(args.activation, sum);
    }
  }
}

std::int64_t chunks(const ConvShape& s) { return tiles(s).count(); }
std::size_t workspace(const ConvShape&) { return 0; }

void run(const ConvArgs& args, std::int64_t chunk, void*) {
  const PlaneTiles t = tiles(args.shape);
  const Range planes = piece(args.shape.batch * args.shape.out_channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(args.shape.out_h(), t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) run_plane(args, p, rows);
}

}  // namespace

extern const ConvCode conv_reference_f32_code;
const ConvCode conv_reference_f32_code = {{chunks, workspace, run}, 1, 1, nullptr, nullptr, nullptr};

}  // namespace konv
