// Depthwise convolution of blocked images: a vector is the channels of one pixel. Kernels of 3 and 5 columns read every pixel once for all of them.
#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_depthwise_blocked_f32);

namespace KONV_ISA {
namespace {

std::int64_t blocks(const ConvShape& s) { return ceil_div(s.out_channels, kLanes); }

/// Rows first, since the pointwise convolutions before and after are cut so. An image of few rows is cut by planes, as their weights are.
PlaneTiles tiles(const ConvShape& s) {
  constexpr std::int64_t least_rows = 7, most_parts = 4, target = kChunkMacs / 2;
  const std::int64_t planes = s.batch * blocks(s), rows = s.out_h(), work_per_row = s.out_w() * (s.kernel_h * s.kernel_w + 2) * kLanes;
  PlaneTiles t = tile_planes(planes, rows, work_per_row, target);
  if (t.row_chunks > 1 || t.plane_chunks < 2) return t;
  const std::int64_t parts = s.batch > 1 ? 1 : smaller(most_parts, rows / least_rows) / 2 * 2;
  t.rows_first = parts > 1;
  if (t.rows_first) {
    t.rows_per_chunk = ceil_div(rows, parts);
    t.row_chunks = ceil_div(rows, t.rows_per_chunk);
  }
  const std::int64_t plane_chunks = t.rows_first ? ceil_div(t.plane_chunks, parts) : round_up(t.plane_chunks, 2);
  t.planes_per_chunk = ceil_div(planes, plane_chunks);
  t.plane_chunks = ceil_div(planes, t.planes_per_chunk);
  return t;
}

/// Windows of 3 or 5 neighbouring columns know the image's edges, so that nobody has to put zeros around it; others read a halo.
bool knows_edges(const ConvShape& s) {
  const bool narrow = s.pad_left < s.kernel_w && s.pad_right < s.kernel_w;
  return s.dilation_h == 1 && s.dilation_w == 1 && narrow && (s.kernel_w == 3 || s.kernel_w == 5);
}

Halo halo(const ConvShape& s) { return knows_edges(s) ? Halo{} : padding_halo(s); }

/// The kernel, strides in floats.
struct Window {
  std::int64_t rows, columns, row_stride, column_stride;
  std::int64_t pad_left, in_columns;  ///< for windows that know the image's edges
};

#if defined(__AVX512F__) || defined(__aarch64__)
using Widths = WidthList<16, 14, 8, 7, 4, 1>;
#else
using Widths = WidthList<8, 7, 4, 1>;
#endif

/// Pixels at the ends of what a tile reads of a row that lie outside the image: zeros.
struct Outside {
  std::int64_t left, right;
};

/// Adds a row of the kernel, `Taps` neighbouring pixels: every pixel of the input is read once. `AtEdge`: some are outside.
template <int Width, int Step, int Taps, bool AtEdge>
inline __attribute__((always_inline)) void accumulate_taps(const float* in, const float* weight, const Outside& outside,
                                                           Vector (&acc)[Width]) {
  constexpr int kColumns = (Width - 1) * Step + Taps;
  Vector w[Taps];
#pragma GCC unroll 8
  for (int k = 0; k < Taps; ++k) w[k] = load(weight + k * kLanes);
#pragma GCC unroll 40
  for (int i = 0; i < kColumns; ++i) {
    const bool left = AtEdge && (i < Taps - 1) && (i < outside.left);
    const bool right = AtEdge && (i > kColumns - Taps) && (i >= kColumns - outside.right);
    const Vector x = left || right ? Vector{} : load(in + i * kLanes);
#pragma GCC unroll 8
    for (int k = 0; k < Taps; ++k) {
      const int p = (i - k) / Step;
      if (i >= k && (i - k) % Step == 0 && p < Width) acc[p] += w[k] * x;
    }
  }
}

/// `Taps`: the kernel's columns where they are neighbours, or 0.
template <int Width, int Step, int Taps, bool AtEdge>
inline __attribute__((always_inline)) void tile(const Window& window, const Outside& outside, const float* in, const float* weight,
                                                const Finish& f, float* out, const float* residual) {
  Vector acc[1][Width];
  start(f.bias, acc);
  const float* row = in;
  for (std::int64_t ky = 0; ky < window.rows; ++ky, row += window.row_stride) {
    if constexpr (Taps > 0) {
      accumulate_taps<Width, Step, Taps, AtEdge>(row, weight, outside, acc[0]);
      weight += Taps * kLanes;
    } else {
      const float* tap = row;
      for (std::int64_t kx = 0; kx < window.columns; ++kx, tap += window.column_stride, weight += kLanes) {
        const Vector w = load(weight);
#pragma GCC unroll 16
        for (int p = 0; p < Width; ++p) acc[0][p] += w * load(tap + p * Step * kLanes);
      }
    }
  }
  Sums<Width, 1> sums;
#pragma GCC unroll 16
  for (int p = 0; p < Width; ++p) sums.at[0][p] = acc[0][p];
  finish(f, sums, out, residual);
}

/// `width` pixels that lie side by side.
template <int Width, int Step, int Taps>
void tiles_of_row(const Window& window, const float* in, const float* weight, const Finish& f, std::int64_t width, float* out,
                  const float* residual) {
  for (std::int64_t begin = 0; begin < width; begin += Width) {
    const std::int64_t pixel = smaller(begin, width - Width), column = pixel * Step - window.pad_left, x = pixel * kLanes;
    const Outside outside{larger(0, -column), larger(0, column + (Width - 1) * Step + Taps - window.in_columns)};
    const float* const add = residual ? residual + x : nullptr;
    if (Taps > 0 && (outside.left > 0 || outside.right > 0)) {
      tile<Width, Step, Taps, true>(window, outside, in + x * Step, weight, f, out + x, add);
    } else {
      tile<Width, Step, Taps, false>(window, outside, in + x * Step, weight, f, out + x, add);
    }
  }
}

using RowFunction = void (*)(const Window&, const float*, const float*, const Finish&, std::int64_t, float*, const float*);

template <int Step, int Taps, int... All>
RowFunction row_of(WidthList<All...>, int width) {
  RowFunction found = nullptr;
  ((found = width == All ? &tiles_of_row<All, Step, Taps> : found), ...);
  return found;
}

template <int Step>
RowFunction row_of(const ConvShape& s, int width) {
  if (!knows_edges(s)) return row_of<Step, 0>(Widths{}, width);
  return s.kernel_w == 3 ? row_of<Step, 3>(Widths{}, width) : row_of<Step, 5>(Widths{}, width);
}

void run_rows(const ConvArgs& args, std::int64_t n, std::int64_t block, Range rows) {
  const ConvShape& s = args.shape;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  Window window{s.kernel_h, s.kernel_w, s.dilation_h * in.strides[2], s.dilation_w * kLanes, s.pad_left, s.in_w};
  const float* weight = static_cast<const float*>(args.weight) + block * s.kernel_h * s.kernel_w * kLanes;
  const std::int64_t channels = s.out_channels - block * kLanes, width = s.out_w();
  const Biases<1> bias(args.bias, block * kLanes, s.out_channels);
  const Finish f{bias.at, 0, 0, channels, &args.activation};
  const int tile_width = best_width(Widths{}, width);
  const RowFunction run = s.stride_w == 1 ? row_of<1>(s, tile_width) : row_of<2>(s, tile_width);
  const float* from = in.f32() + n * in.strides[0] + block * in.strides[1] - s.pad_top * in.strides[2] - s.pad_left * kLanes;
  float* to = out.f32() + n * out.strides[0] + block * out.strides[1];
  const float* add = residual.data ? residual.f32() + n * residual.strides[0] + block * residual.strides[1] : nullptr;
  const bool edges = knows_edges(s);
  for (std::int64_t y = rows.begin; y < rows.end; ++y) {
    const std::int64_t top = y * s.stride_h - s.pad_top, above = edges ? larger(0, -top) : 0;
    if (edges) window.rows = larger(0, smaller(s.kernel_h, s.in_h - top) - above);
    run(window, from + (y * s.stride_h + above) * in.strides[2], weight + above * s.kernel_w * kLanes, f, width, to + y * out.strides[2],
        add ? add + y * residual.strides[2] : nullptr);
  }
}

void run_planes(const ConvArgs& args, Range planes, Range rows) {
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const Division at = split(p, blocks(args.shape));
    run_rows(args, at.whole, at.rest, rows);
  }
}

std::int64_t chunks(const ConvShape& s) { return tiles(s).count(); }
std::size_t workspace(const ConvShape&) { return 0; }
void run(const ConvArgs& args, std::int64_t chunk, void*) {
  const ConvShape& s = args.shape;
  const PlanePart part = plane_part(tiles(s), s.batch * blocks(s), s.out_h(), chunk);
  run_planes(args, part.planes, part.rows);
}

/// For a thread that works alone.
std::int64_t one_chunk(const ConvShape&) { return 1; }
void run_all(const ConvArgs& args, std::int64_t, void*) {
  run_planes(args, {0, args.shape.batch * blocks(args.shape)}, {0, args.shape.out_h()});
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
                                                            KONV_ISA::halo,
                                                            KONV_ISA::packed_bytes,
                                                            KONV_ISA::pack,
                                                            {KONV_ISA::one_chunk, KONV_ISA::workspace, KONV_ISA::run_all}};

}  // namespace konv
