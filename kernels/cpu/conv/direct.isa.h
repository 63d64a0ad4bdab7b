// Direct convolution, vectorised along the rows: for few input channels, where nothing is gained by interleaving them, and for depthwise.
// A chunk copies the rows that it needs into a padded buffer, phases of the stride apart, so the loops know no edge and no stride.
//   accumulators: output channels x vectors of a row; per tap one load for each vector, one broadcast weight for each channel
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/phase_rows.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_direct_f32);
extern const ConvCode KONV_ISA_CODE(conv_depthwise_f32);

namespace KONV_ISA {
namespace {

PhaseRows buffer_of(const ConvShape& s) {
  return {s.in_h, s.in_w, s.out_w(), s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.pad_top, s.pad_left};
}

/// A "plane" here is one group of one image.
PlaneTiles tiles(const ConvShape& s) {
  const std::int64_t macs = round_up(s.out_w(), kLanes) * s.k() * s.group_out();
  const std::int64_t rows = 128 * (s.group_in() * s.stride_h + s.group_out());  // to pad and finish a row takes as long
  return tile_planes(s.batch * s.groups, s.out_h(), macs + rows, kChunkMacs);
}

/// Taps of one output row: buffer rows of consecutive input channels lie `channel` floats apart.
struct Taps {
  const std::int64_t* offsets;
  std::int64_t count, channels, channel;
};

/// sums[o][j] for `Outputs` output channels and `Vectors` vectors of pixels. Weights of consecutive output channels lie k apart.
template <int Outputs, int Vectors>
inline __attribute__((always_inline)) void accumulate(const Taps& taps, const float* in, const float* weight, std::int64_t k, float* sums,
                                                      std::int64_t width) {
  Vector acc[Outputs][Vectors] = {};
  for (std::int64_t c = 0; c < taps.channels; ++c, in += taps.channel) {
    for (std::int64_t t = 0; t < taps.count; ++t, ++weight) {
      const float* from = in + taps.offsets[t];
      Vector x[Vectors];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) x[v] = load(from + v * kLanes);
#pragma GCC unroll 8
      for (int o = 0; o < Outputs; ++o) {
        const float w = weight[o * k];
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) acc[o][v] += w * x[v];
      }
    }
  }
#pragma GCC unroll 8
  for (int o = 0; o < Outputs; ++o) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(sums + o * width + v * kLanes, acc[o][v]);
  }
}

/// One row of `Outputs` output channels; `width` is a multiple of the lanes.
template <int Outputs>
void row(const Taps& taps, const float* in, const float* weight, std::int64_t k, float* sums, std::int64_t width) {
  constexpr int most = Outputs == 1 ? 4 : (kRegisters == 32 ? 4 : 2);
  std::int64_t x = 0;
  for (; x + most * kLanes <= width; x += most * kLanes) accumulate<Outputs, most>(taps, in + x, weight, k, sums + x, width);
  for (; x + 2 * kLanes <= width; x += 2 * kLanes) accumulate<Outputs, 2>(taps, in + x, weight, k, sums + x, width);
  for (; x < width; x += kLanes) accumulate<Outputs, 1>(taps, in + x, weight, k, sums + x, width);
}

void finish(const ConvArgs& args, std::int64_t n, std::int64_t o, std::int64_t y, const float* sums) {
  const TensorView &out = args.out, &residual = args.residual;
  float* to = out.f32() + n * out.strides[0] + o * out.strides[1] + y * out.strides[2];
  const float* add = residual.data ? residual.f32() + n * residual.strides[0] + o * residual.strides[1] + y * residual.strides[2] : nullptr;
  const float bias = args.bias ? args.bias[o] : 0.0f;
  if (out.strides[3] == 1 && (!add || residual.strides[3] == 1)) {
    epilogue_row(sums, to, args.shape.out_w(), bias, add, args.activation);
  } else {
    epilogue_strided(sums, to, out.strides[3], args.shape.out_w(), bias, add, residual.strides[3], args.activation);
  }
}

void run_group(const ConvArgs& args, std::int64_t plane, Range rows, const std::int64_t* offsets, float* workspace) {
  const ConvShape& s = args.shape;
  const std::int64_t n = plane / s.groups, g = plane % s.groups, k = s.k(), width = round_up(s.out_w(), kLanes);
  const PhaseRows buffer = buffer_of(s);
  const Taps taps{offsets, buffer.taps(), s.group_in(), buffer.plane_floats(rows.size())};
  for (std::int64_t c = 0; c < s.group_in(); ++c) {
    const float* from = args.in.f32() + n * args.in.strides[0] + (g * s.group_in() + c) * args.in.strides[1];
    gather_phases(buffer, from, args.in.strides[2], args.in.strides[3], rows, 0.0f, workspace + c * taps.channel);
  }
  float* sums = workspace + s.group_in() * taps.channel;
  for (std::int64_t o = 0; o < s.group_out();) {
    const std::int64_t channel = g * s.group_out() + o;
    const float* weight = static_cast<const float*>(args.weight) + channel * k;
    const std::int64_t outputs = s.group_out() - o >= 4 ? 4 : 1;
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      const float* in = workspace + (y - rows.begin) * s.stride_h * buffer.row_floats();
      if (outputs == 4) {
        row<4>(taps, in, weight, k, sums, width);
      } else {
        row<1>(taps, in, weight, k, sums, width);
      }
      for (std::int64_t i = 0; i < outputs; ++i) finish(args, n, channel + i, y, sums + i * width);
    }
    o += outputs;
  }
}

std::int64_t chunks(const ConvShape& s) { return tiles(s).count(); }

std::size_t workspace(const ConvShape& s) {
  const std::int64_t rows = smaller(tiles(s).rows_per_chunk, larger(1, s.out_h()));
  const std::int64_t floats = s.group_in() * buffer_of(s).plane_floats(rows) + 4 * round_up(s.out_w(), kLanes);
  return static_cast<std::size_t>(buffer_of(s).taps()) * sizeof(std::int64_t) + static_cast<std::size_t>(floats) * sizeof(float);
}

void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.groups, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h(), t.rows_per_chunk, chunk % t.row_chunks);
  const PhaseRows buffer = buffer_of(s);
  auto* offsets = static_cast<std::int64_t*>(workspace);
  buffer.write_taps(offsets);
  auto* floats = reinterpret_cast<float*>(offsets + buffer.taps());
  for (std::int64_t p = planes.begin; p < planes.end; ++p) run_group(args, p, rows, offsets, floats);
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_direct_f32) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run}, 1, 1, nullptr, nullptr, nullptr};
const ConvCode KONV_ISA_CODE(conv_depthwise_f32) = {
    {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run}, 1, 1, nullptr, nullptr, nullptr};

}  // namespace konv
