// Transposed convolution, an output row at a time: every input row that reaches it is added, scaled by a tap, to the row's phase of the stride.
//   output column x + pad = ix stride + kx dilation  =>  phase (kx dilation) mod stride, slot ix + (kx dilation) / stride: contiguous in ix
#include "kernels/cpu/conv_transpose/conv_transpose.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const ConvTransposeCode KONV_ISA_CODE(conv_transpose_rows_f32);

namespace KONV_ISA {
namespace {

PlaneTiles tiles(const ConvTransposeShape& s) {
  const std::int64_t taps = s.kernel_h * s.kernel_w / s.stride_h + 1;
  return tile_planes(s.batch * s.out_channels, s.out_h, s.in_w * (s.in_channels / s.groups) * taps, kChunkMacs / 2);
}

/// Slots of one phase: columns up to the last that is written or read.
std::int64_t slots(const ConvTransposeShape& s) {
  const std::int64_t written = s.in_w + (s.kernel_w - 1) * s.dilation_w / s.stride_w;
  const std::int64_t read = (s.out_w + s.pad_left + s.stride_w - 1) / s.stride_w;
  return larger(written, read);
}

std::int64_t chunks(const ConvTransposeShape& s) { return tiles(s).count(); }

/// The phases of a row, and the row put together.
std::size_t workspace(const ConvTransposeShape& s) { return static_cast<std::size_t>(s.stride_w * slots(s) + s.out_w) * sizeof(float); }

void add_input_row(const ConvTransposeArgs& args, const float* in, const float* weight, float* phases) {
  const ConvTransposeShape& s = args.shape;
  const std::int64_t step = args.in.strides[3];
  for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
    float* to = phases + kx * s.dilation_w % s.stride_w * slots(s) + kx * s.dilation_w / s.stride_w;
    const float w = weight[kx];
    if (step == 1) {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < s.in_w; ++i) to[i] += w * in[i];
    } else {
      for (std::int64_t i = 0; i < s.in_w; ++i) to[i] += w * in[i * step];
    }
  }
}

void run_row(const ConvTransposeArgs& args, std::int64_t n, std::int64_t o, std::int64_t y, float* workspace) {
  const ConvTransposeShape& s = args.shape;
  const TensorView &in = args.in, &out = args.out;
  const std::int64_t group_in = s.in_channels / s.groups, group_out = s.out_channels / s.groups, phase_floats = slots(s);
  float* row = workspace + s.stride_w * phase_floats;
  for (std::int64_t i = 0; i < s.stride_w * phase_floats; ++i) workspace[i] = 0;
  for (std::int64_t c = o / group_out * group_in; c < (o / group_out + 1) * group_in; ++c) {
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      const std::int64_t scaled = y + s.pad_top - ky * s.dilation_h;
      if (scaled < 0 || scaled % s.stride_h != 0 || scaled / s.stride_h >= s.in_h) continue;
      const float* from = in.f32() + n * in.strides[0] + c * in.strides[1] + scaled / s.stride_h * in.strides[2];
      add_input_row(args, from, args.weight + ((c * group_out + o % group_out) * s.kernel_h + ky) * s.kernel_w, workspace);
    }
  }
  for (std::int64_t x = 0; x < s.out_w; ++x)
    row[x] = workspace[(x + s.pad_left) % s.stride_w * phase_floats + (x + s.pad_left) / s.stride_w];
  float* to = out.f32() + n * out.strides[0] + o * out.strides[1] + y * out.strides[2];
  epilogue_strided(row, to, out.strides[3], s.out_w, args.bias ? args.bias[o] : 0.0f, nullptr, 0, args.activation);
}

void run(const ConvTransposeArgs& args, std::int64_t chunk, void* workspace) {
  const ConvTransposeShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.out_channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    for (std::int64_t y = rows.begin; y < rows.end; ++y)
      run_row(args, p / s.out_channels, p % s.out_channels, y, static_cast<float*>(workspace));
  }
}

}  // namespace
}  // namespace KONV_ISA

const ConvTransposeCode KONV_ISA_CODE(conv_transpose_rows_f32) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
