// Transposed convolution in gather form, for every strides: each output collects the inputs that would have read it.
#include "kernels/cpu/conv_transpose/conv_transpose.h"
#include "kernels/cpu/tiling.h"

namespace konv {
namespace {

PlaneTiles tiles(const ConvTransposeShape& s) {
  return tile_planes(s.batch * s.out_channels, s.out_h, s.out_w * (s.in_channels / s.groups) * s.kernel_h * s.kernel_w, kChunkMacs / 10);
}

/// The input row or column that reaches output `at` through tap `k`; negative if there is none.
std::int64_t source(std::int64_t at, std::int64_t pad, std::int64_t k, std::int64_t dilation, std::int64_t stride, std::int64_t size) {
  const std::int64_t scaled = at + pad - k * dilation;
  if (scaled < 0 || scaled % stride != 0) return -1;
  return scaled / stride < size ? scaled / stride : -1;
}

float at(const ConvTransposeArgs& args, std::int64_t n, std::int64_t o, std::int64_t y, std::int64_t x) {
  const ConvTransposeShape& s = args.shape;
  const TensorView& in = args.in;
  const std::int64_t group_in = s.in_channels / s.groups, group_out = s.out_channels / s.groups;
  float sum = 0;
  for (std::int64_t c = o / group_out * group_in; c < (o / group_out + 1) * group_in; ++c) {
    const float* plane = in.f32() + n * in.strides[0] + c * in.strides[1];
    const float* weight = args.weight + (c * group_out + o % group_out) * s.kernel_h * s.kernel_w;
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      const std::int64_t iy = source(y, s.pad_top, ky, s.dilation_h, s.stride_h, s.in_h);
      if (iy < 0) continue;
      for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
        const std::int64_t ix = source(x, s.pad_left, kx, s.dilation_w, s.stride_w, s.in_w);
        if (ix >= 0) sum += plane[iy * in.strides[2] + ix * in.strides[3]] * weight[ky * s.kernel_w + kx];
      }
    }
  }
  return sum;
}

std::int64_t chunks(const ConvTransposeShape& s) { return tiles(s).count(); }
std::size_t workspace(const ConvTransposeShape&) { return 0; }

void run(const ConvTransposeArgs& args, std::int64_t chunk, void*) {
  const ConvTransposeShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.out_channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const std::int64_t n = p / s.out_channels, o = p % s.out_channels;
    float* out = args.out.f32() + n * args.out.strides[0] + o * args.out.strides[1];
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      for (std::int64_t x = 0; x < s.out_w; ++x) {
        const float sum = at(args, n, o, y, x) + (args.bias ? args.bias[o] : 0.0f);
        out[y * args.out.strides[2] + x * args.out.strides[3]] = apply(args.activation, sum);
      }
    }
  }
}

}  // namespace

extern const ConvTransposeCode conv_transpose_reference_f32_code;
const ConvTransposeCode conv_transpose_reference_f32_code = {chunks, workspace, run};

}  // namespace konv
