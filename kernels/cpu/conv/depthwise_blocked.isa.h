// Depthwise convolution of blocked images: a vector is the channels of one pixel, so each multiply-add is one load of the input.
#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_depthwise_blocked_f32);

namespace KONV_ISA {
namespace {

std::int64_t blocks(const ConvShape& s) { return ceil_div(s.out_channels, kLanes); }

PlaneTiles tiles(const ConvShape& s) {
  return tile_planes(s.batch * blocks(s), s.out_h(), s.out_w() * (s.kernel_h * s.kernel_w + 2) * kLanes, kChunkMacs / 2);
}

using Widths = WidthList<8, 7, 4, 1>;

template <int Width, int Step>
void tile(const Walk& walk, const float* in, const float* weight, const Finish& f, float* out, const float* residual) {
  Vector acc[Width] = {};
  const float* row = in;
  for (std::int64_t ky = 0; ky < walk.kernel_h; ++ky, row += walk.tap_row) {
    const float* tap = row;
    for (std::int64_t kx = 0; kx < walk.kernel_w; ++kx, tap += walk.tap_column, weight += kLanes) {
      const Vector w = load(weight);
#pragma GCC unroll 8
      for (int p = 0; p < Width; ++p) acc[p] += w * load(tap + p * Step * kLanes);
    }
  }
  Sums<Width, 1> sums;
#pragma GCC unroll 8
  for (int p = 0; p < Width; ++p) sums.at[0][p] = acc[p];
  finish(f, sums, out, residual);
}

using TileFunction = void (*)(const Walk&, const float*, const float*, const Finish&, float*, const float*);

template <int Step, int... All>
TileFunction tile_of(WidthList<All...>, int width) {
  TileFunction found = nullptr;
  ((found = width == All ? &tile<All, Step> : found), ...);
  return found;
}

void run_rows(const ConvArgs& args, std::int64_t n, std::int64_t block, Range rows) {
  const ConvShape& s = args.shape;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  const Walk walk{1, 0, s.kernel_h, s.kernel_w, s.dilation_h * in.strides[2], s.dilation_w * kLanes, 0};
  const float* weight = static_cast<const float*>(args.weight) + block * s.kernel_h * s.kernel_w * kLanes;
  const std::int64_t channels = s.out_channels - block * kLanes, width = s.out_w();
  const Biases<1> bias(args.bias, block * kLanes, s.out_channels);
  const Finish f{bias.at, 0, 0, channels, &args.activation};
  const int tile_width = best_width(Widths{}, width);
  const TileFunction run = s.stride_w == 1 ? tile_of<1>(Widths{}, tile_width) : tile_of<2>(Widths{}, tile_width);
  const float* from = in.f32() + n * in.strides[0] + block * in.strides[1] - s.pad_top * in.strides[2] - s.pad_left * kLanes;
  float* to = out.f32() + n * out.strides[0] + block * out.strides[1];
  const float* add = residual.data ? residual.f32() + n * residual.strides[0] + block * residual.strides[1] : nullptr;
  for (std::int64_t y = rows.begin; y < rows.end; ++y) {
    for (std::int64_t begin = 0; begin < width; begin += tile_width) {
      const std::int64_t x = smaller(begin, width - tile_width);
      run(walk, from + y * s.stride_h * in.strides[2] + x * s.stride_w * kLanes, weight, f, to + y * out.strides[2] + x * kLanes,
          add ? add + y * residual.strides[2] + x * kLanes : nullptr);
    }
  }
}

std::int64_t chunks(const ConvShape& s) { return tiles(s).count(); }
std::size_t workspace(const ConvShape&) { return 0; }

void run(const ConvArgs& args, std::int64_t chunk, void*) {
  const ConvShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * blocks(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h(), t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) run_rows(args, p / blocks(s), p % blocks(s), rows);
}

std::size_t packed_bytes(const ConvShape& s) {
  return static_cast<std::size_t>(blocks(s) * s.kernel_h * s.kernel_w * kLanes) * sizeof(float);
}

/// [block][tap][kLanes]
void pack(const ConvShape& s, const float* weight, void* packed) {
  const std::int64_t taps = s.kernel_h * s.kernel_w;
  float* to = static_cast<float*>(packed);
  for (std::int64_t first = 0; first < s.out_channels; first += kLanes) {
    for (std::int64_t t = 0; t < taps; ++t) {
      for (std::int64_t c = first; c < first + kLanes; ++c) *to++ = c < s.out_channels ? weight[c * taps + t] : 0.0f;
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_depthwise_blocked_f32) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run},
                                                            KONV_ISA::kLanes,
                                                            KONV_ISA::kLanes,
                                                            padding_halo,
                                                            KONV_ISA::packed_bytes,
                                                            KONV_ISA::pack};

}  // namespace konv
