// What the integer convolutions on blocked images share: sums of output channels x pixels stay in registers; four input channels of a pixel are one broadcast
// (dot.h); rows, images and output channels are cut into chunks. Only for units of an instruction set (per_isa.h).
#pragma once

#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish_tile.h"
#include "kernels/cpu/padding.h"
#include "kernels/cpu/tiling.h"

namespace konv::KONV_ISA {
namespace {

inline constexpr int kVectors = kIntegerBlock / kLanes;  ///< of one block of output channels

/// The quads of input channels and taps that a tile reads: their distances from a pixel's first byte, in quads. One flat list, for dense kernels, too: loops over
/// blocks, rows, columns and lanes take a third longer, since compilers unroll them until the sums no longer fit the registers.
struct Quads {
  const std::int32_t* offsets;
  std::int64_t count;
  std::int64_t row = 0;  ///< bytes from what an output pixel reads to what the one below it reads
};

struct Finish {
  Target target;
  PackedChannels channels;                 ///< of the first output
  std::int64_t out_block, residual_block;  ///< bytes
  std::int64_t out_row, residual_row;
};

/// Large tiles, which leave room for more instructions, and those of short rows, whose weights are many, fetch weights into the first cache this many quads before
/// they use them: as long as the third one takes to answer.
inline constexpr int kQuadsAhead = 16;

/// The sums of `Vectors` vectors of output channels x `Rows` rows of `Width` pixels that lie `Step` bytes apart in the input, from `start` on. From the weights of
/// one vector to the next are `weight_vector` bytes. A function of its own, so that the registers are the sums' alone.
template <int Width, int Rows, int Vectors, int Step>
__attribute__((noinline)) void accumulate(const Quads& quads, const std::uint8_t* in, const std::uint8_t* weight,
                                          std::int64_t weight_vector, const std::int32_t* start, Ints* result) {
  constexpr int Pixels = Rows * Width;
  Ints sums[Vectors][Pixels];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) sums[v][p] = load_ints(start + v * kLanes);
  }
  for (std::int64_t i = 0; i < quads.count; ++i, weight += kQuadWeightBytes) {
    const std::uint8_t* quad = in + 4 * std::int64_t{quads.offsets[i]};
    WeightQuad w[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      w[v] = load_weights(weight + v * weight_vector);
      if constexpr (Rows > 1 || (Vectors < 4 && Vectors * Width > 20))
        __builtin_prefetch(weight + v * weight_vector + kQuadsAhead * kQuadWeightBytes);
    }
    const std::uint8_t* below = quad + (Rows > 1 ? quads.row : 0);
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
      const Quad x = broadcast_quad((p < Width ? quad : below) + p % Width * Step);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sums[v][p] = dot(sums[v][p], x, w[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) result[v * Pixels + p] = sums[v][p];
  }
}

template <int Width, int Rows, int Vectors, int Step>
void tile(const Quads& quads, const std::uint8_t* in, const std::uint8_t* weight, std::int64_t weight_vector, const Finish& f,
          std::uint8_t* out, const std::uint8_t* residual) {
  static_assert(Rows <= 2);
  Ints sums[Vectors * Rows * Width];
  accumulate<Width, Rows, Vectors, Step>(quads, in, weight, weight_vector, f.channels.start, sums);
  TileSums t{sums, Vectors, Rows, Width, f.channels.multiplier, f.channels.offset, f.out_row, f.residual_row, {}, {}};
  for (int v = 0; v < Vectors; ++v) {
    t.out_vector[v] = v / kVectors * f.out_block + v % kVectors * kLanes * f.target.size();
    t.residual_vector[v] = v / kVectors * f.residual_block + v % kVectors * kLanes;
  }
  finish_tile(f.target, t, residual, out);
}

/// Tile widths that are compiled, by vectors of output channels: from wide to narrow, of one row and of two.
template <int... Widths>
struct WidthList {};

template <int Vectors>
struct TileWidths;
#if defined(__AVX512F__)
inline constexpr int kMostVectors = 4;
template <>
struct TileWidths<1> {
  using List = WidthList<16, 14, 8, 7, 4, 2, 1>;
  using Pairs = WidthList<>;
};
template <>
struct TileWidths<2> {
#if defined(__AVX512VNNI__)
  using List = WidthList<14, 11, 8, 7, 4, 2, 1>;
  using Pairs = WidthList<7, 6, 5, 4>;
#else
  using List = WidthList<11, 8, 7, 4, 2, 1>;
  using Pairs = WidthList<5, 4>;
#endif
};
template <>
struct TileWidths<4> {
  using List = WidthList<6, 4, 3, 2, 1>;
  using Pairs = WidthList<3, 2>;
};
#else
inline constexpr int kMostVectors = kVectors;
template <>
struct TileWidths<2> {
  using List = WidthList<4, 3, 2, 1>;
  using Pairs = WidthList<>;
};
template <>
struct TileWidths<4> {
  using List = WidthList<2, 1>;
  using Pairs = WidthList<>;
};
#endif

/// A row of pixels is cut into tiles of width `wide`; what is left takes one of width `rest`, which may overlap its neighbour.
struct Cut {
  int wide = 1, rest = 1;
};

template <int Vectors, int... Widths>
Cut best_cut(WidthList<Widths...>, std::int64_t count) {
  // A tile's beginning and end take as long as 1.5 pixels, and fewer than ten sums wait for each other.
  const auto cost = [](int width) { return 3 + (2 * width > 20 / Vectors ? 2 * width : 20 / Vectors); };
  Cut best;
  std::int64_t best_cost = INT64_MAX;
  const auto consider = [&](int wide) {
    if (wide > count) return;
    Cut cut{wide, wide};
    const std::int64_t left = count % wide;
    ((cut.rest = Widths >= left && Widths < cut.rest ? Widths : cut.rest), ...);
    const std::int64_t all = count / wide * cost(wide) + (left ? cost(cut.rest) : 0);
    if (all < best_cost) best = cut, best_cost = all;
  };
  (consider(Widths), ...);
  return best;
}

using TileFunction = void (*)(const Quads&, const std::uint8_t*, const std::uint8_t*, std::int64_t, const Finish&, std::uint8_t*,
                              const std::uint8_t*);

/// The tile of that width, or null.
template <int Rows, int Vectors, int Step, int... Widths>
TileFunction tile_of(WidthList<Widths...>, std::int64_t width) {
  TileFunction found = nullptr;
  ((found = width == Widths ? &tile<Widths, Rows, Vectors, Step> : found), ...);
  return found;
}

std::int64_t row_pixels(const ConvShape& s) {
  const bool one_row = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1;
  return one_row ? s.out_pixels() : s.out_w();
}

/// Vectors of output channels computed together: whole blocks; several where registers are many, the more the shorter the rows.
int vectors_together(const ConvShape& s) {
  const std::int64_t vectors = ceil_div(s.group_out(), kIntegerBlock) * kVectors;
  if (kMostVectors == kVectors) return kVectors;
  if (vectors >= 4 && row_pixels(s) <= 3) return 4;
  if (vectors >= 4 && row_pixels(s) >= 6 && s.k() * 4 * kLanes <= 24576) return 4;
  return vectors >= 2 ? 2 : 1;
}

/// Chunks: some output rows of one image (or of several) for some output channels of one group.
struct Tiles {
  std::int64_t vectors_per_group;
  int together;
  std::int64_t parts;  ///< chunks that a group's output channels are cut into
  bool images_inside;  ///< neighbouring chunks share weights rather than an image
  PlaneTiles planes;
};

Tiles tiles(const ConvShape& s) {
  Tiles t;
  t.vectors_per_group = ceil_div(s.group_out(), kIntegerBlock) * kVectors;
  t.together = vectors_together(s);
  t.parts = ceil_div(t.vectors_per_group, t.together);
  t.images_inside = s.weight_count() > s.in_channels * s.in_h * s.in_w;
  // Every chunk lists what its tiles read, so large layers get large chunks; small ones still make a few.
  const std::int64_t work = clamped(s.macs() / 16, 4 * kChunkMacs, 20 * kChunkMacs);
  t.planes = tile_planes(s.batch * s.groups * t.parts, s.out_h(), s.out_w() * s.k() * t.together * kLanes, work);
  return t;
}

/// What a kernel brings to the walk over rows and channels: what a tile reads, and where its weights are.
struct Work {
  const IntegerConvArgs& args;
  Quads quads;
  const std::uint8_t* weight;   ///< of the first output channel
  std::int64_t weight_vector;   ///< bytes from the weights of kLanes output channels to the next
  std::int64_t group_channels;  ///< bytes from one group's first input channel to the next
};

template <int Vectors, int Step>
void rows(const Work& work, std::int64_t n, std::int64_t group, std::int64_t vector, Range range) {
  const IntegerConvArgs& args = work.args;
  const ConvShape& s = args.shape.conv;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  const std::int64_t first = group * (ceil_div(s.group_out(), kIntegerBlock) * kVectors) + vector;
  PackedChannels channels = packed_channels(args.weight, s.out_channels);
  channels.start += first * kLanes, channels.multiplier += first * kLanes, channels.offset += first * kLanes;
  const Target target{args.output, args.shape.out == DType::float32};
  const std::int64_t size = target.size();
  const Finish f{target, channels, out.strides[1] * size, residual.strides[1], out.strides[2] * size, residual.strides[2]};

  std::int64_t width = s.out_w();
  // A pointwise convolution of rows without gaps is one of a single long row.
  const auto no_gaps = [](const TensorView& v, std::int64_t w) { return v.strides[2] == w * v.strides[3]; };
  if (s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 && s.out_w() == s.in_w && no_gaps(in, width) &&
      no_gaps(out, width) && (!residual.data || no_gaps(residual, width))) {
    width *= range.size();
    range.end = range.begin + 1;
  }
  using Widths = typename TileWidths<Vectors>::List;
  const Cut cut = best_cut<Vectors>(Widths{}, width);
  const TileFunction wide = tile_of<1, Vectors, Step>(Widths{}, cut.wide), rest = tile_of<1, Vectors, Step>(Widths{}, cut.rest);
  const TileFunction pair = tile_of<2, Vectors, Step>(typename TileWidths<Vectors>::Pairs{}, width);
  const std::int64_t block = first / kVectors;
  const std::uint8_t* from = static_cast<const std::uint8_t*>(in.data) + n * in.strides[0] + group * work.group_channels -
                             s.pad_top * in.strides[2] - s.pad_left * in.strides[3];
  std::uint8_t* to = static_cast<std::uint8_t*>(out.data) + (n * out.strides[0] + block * out.strides[1]) * size;
  const std::uint8_t* add =
      residual.data ? static_cast<const std::uint8_t*>(residual.data) + n * residual.strides[0] + block * residual.strides[1] : nullptr;
  Quads quads = work.quads;
  quads.row = s.stride_h * in.strides[2];
  const std::uint8_t* weight = work.weight + first * work.weight_vector;
  const auto run = [&](TileFunction tile, std::int64_t y, std::int64_t x) {
    tile(quads, from + y * quads.row + x * Step, weight, work.weight_vector, f, to + y * f.out_row + x * kIntegerBlock * size,
         add ? add + y * f.residual_row + x * kIntegerBlock : nullptr);
  };
  std::int64_t y = range.begin;
  for (; pair && y + 2 <= range.end; y += 2) run(pair, y, 0);
  for (; y < range.end; ++y) {
    std::int64_t x = 0;
    for (; x + cut.wide <= width; x += cut.wide) run(wide, y, x);
    if (x < width) run(rest, y, width - cut.rest);
  }
}

template <int Step>
void vectors(const Work& work, std::int64_t n, std::int64_t group, Range range, Range out_rows) {
  for (std::int64_t v = range.begin; v < range.end;) {
    const std::int64_t left = range.end - v;
    if (left >= 4) {
      if constexpr (kMostVectors >= 4) rows<4, Step>(work, n, group, v, out_rows);
      v += 4;
    } else if (left >= 2) {
      if constexpr (kVectors <= 2) rows<2, Step>(work, n, group, v, out_rows);
      v += 2;
    } else {
      if constexpr (kVectors == 1) rows<1, Step>(work, n, group, v, out_rows);
      v += 1;
    }
  }
}

/// One chunk. `InBlock`: channels, and bytes, from one pixel of the input to the next.
template <int InBlock>
void run_chunk(const Work& work, std::int64_t chunk) {
  const ConvShape& s = work.args.shape.conv;
  const Tiles t = tiles(s);
  const Range planes = piece(s.batch * s.groups * t.parts, t.planes.planes_per_chunk, chunk / t.planes.row_chunks);
  const Range out_rows = piece(s.out_h(), t.planes.rows_per_chunk, chunk % t.planes.row_chunks);
  const std::int64_t parts = s.groups * t.parts;
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const std::int64_t n = t.images_inside ? p % s.batch : p / parts, part = t.images_inside ? p / s.batch : p % parts;
    const Range range = piece(t.vectors_per_group, t.together, part % t.parts);
    if (s.stride_w == 1) {
      vectors<InBlock>(work, n, part / t.parts, range, out_rows);
    } else {
      vectors<2 * InBlock>(work, n, part / t.parts, range, out_rows);
    }
  }
}

[[maybe_unused]] std::int64_t chunks(const IntegerConvShape& s) { return tiles(s.conv).planes.count(); }

/// The weight of input channel `c` (in its group) and tap `t` for output `o` (in its group); channels that do not exist weigh nothing.
[[maybe_unused]] std::int16_t weight_at(const ConvShape& s, const IntegerWeights& weights, std::int64_t g, std::int64_t o, std::int64_t c,
                                        std::int64_t t) {
  if (c >= s.group_in() || o >= s.group_out()) return 0;
  return weights.weight[((g * s.group_out() + o) * s.group_in() + c) * s.kernel_h * s.kernel_w + t];
}

}  // namespace
}  // namespace konv::KONV_ISA
