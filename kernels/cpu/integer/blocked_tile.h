// What the integer convolutions on blocked images share: sums of output channels x pixels stay in registers; four input channels of a pixel are one broadcast
// (dot.h); rows, images and output channels are cut into chunks. Only for units of an instruction set (per_isa.h).
#pragma once

#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish.h"
#include "kernels/cpu/tiling.h"

namespace konv::KONV_ISA {
namespace {

inline constexpr int kVectors = kIntegerBlock / kLanes;  ///< of one block of output channels

/// The quads of input channels and taps that a tile reads: their distances from a pixel's first byte, in quads. One flat list, for dense kernels, too: loops over
/// blocks, rows, columns and lanes take a third longer, since compilers unroll them until the sums no longer fit the registers.
struct Quads {
  const std::int32_t* offsets;
  std::int64_t count;
};

struct Finish {
  Target target;
  PackedChannels channels;                 ///< of the first output
  std::int64_t out_block, residual_block;  ///< bytes
};

/// The sums of `Vectors` vectors of output channels x `Pixels` pixels that lie `Step` bytes apart in the input, from `start` on. From the weights of one vector
/// to the next are `weight_vector` bytes. A function of its own, so that the registers are the sums' alone.
template <int Pixels, int Vectors, int Step>
__attribute__((noinline)) void accumulate(const Quads& quads, const std::uint8_t* in, const std::uint8_t* weight,
                                          std::int64_t weight_vector, const std::int32_t* start, Ints* result) {
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
    for (int v = 0; v < Vectors; ++v) w[v] = load_weights(weight + v * weight_vector);
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
      const Quad x = broadcast_quad(quad + p * Step);
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

template <int Pixels, int Vectors, int Step>
void tile(const Quads& quads, const std::uint8_t* in, const std::uint8_t* weight, std::int64_t weight_vector, const Finish& f,
          std::uint8_t* out, const std::uint8_t* residual) {
  Ints sums[Vectors * Pixels];
  accumulate<Pixels, Vectors, Step>(quads, in, weight, weight_vector, f.channels.start, sums);
  const std::int64_t size = f.target.size();
  for (int v = 0; v < Vectors; ++v) {
    finish_pixels<Pixels, kIntegerBlock>(f.target, sums + v * Pixels, load(f.channels.multiplier + v * kLanes),
                                         load(f.channels.offset + v * kLanes),
                                         residual ? residual + v / kVectors * f.residual_block + v % kVectors * kLanes : nullptr,
                                         out + v / kVectors * f.out_block + v % kVectors * kLanes * size);
  }
}

/// Tile widths that are compiled, by vectors of output channels; a row is cut into the one that wastes least.
template <int... Widths>
struct WidthList {};

template <int Vectors>
struct TileWidths;
#if defined(__AVX512F__)
inline constexpr int kMostVectors = 4;
template <>
struct TileWidths<1> {
  using List = WidthList<16, 14, 8, 7, 4, 2, 1>;
};
template <>
struct TileWidths<2> {
#if defined(__AVX512VNNI__)
  using List = WidthList<14, 11, 8, 7, 4, 2, 1>;
#else
  using List = WidthList<11, 8, 7, 4, 2, 1>;
#endif
};
template <>
struct TileWidths<4> {
  using List = WidthList<6, 4, 2, 1>;
};
#else
inline constexpr int kMostVectors = kVectors;
template <>
struct TileWidths<2> {
  using List = WidthList<4, 3, 2, 1>;
};
template <>
struct TileWidths<4> {
  using List = WidthList<2, 1>;
};
#endif

template <int... Widths>
int best_width(WidthList<Widths...>, std::int64_t count) {
  int best = 1;
  std::int64_t best_cost = INT64_MAX;
  const auto consider = [&](int width) {
    if (width > count) return;
    const std::int64_t cost = (count + width - 1) / width * (2 * width + 3);  // a tile's beginning and end take as long as 1.5 pixels
    if (cost < best_cost) best = width, best_cost = cost;
  };
  (consider(Widths), ...);
  return best;
}

using TileFunction = void (*)(const Quads&, const std::uint8_t*, const std::uint8_t*, std::int64_t, const Finish&, std::uint8_t*,
                              const std::uint8_t*);

template <int Vectors, int Step, int... Widths>
TileFunction tile_of(WidthList<Widths...>, int width) {
  TileFunction found = nullptr;
  ((found = width == Widths ? &tile<Widths, Vectors, Step> : found), ...);
  return found;
}

std::int64_t row_pixels(const ConvShape& s) {
  const bool one_row = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1;
  return one_row ? s.out_pixels() : s.out_w();
}

/// Vectors of output channels computed together: whole blocks; several where rows are short or registers are many.
int vectors_together(const ConvShape& s) {
  const std::int64_t vectors = ceil_div(s.group_out(), kIntegerBlock) * kVectors;
  if (kMostVectors == kVectors) return kVectors;
  if (vectors >= 4 && row_pixels(s) <= 6) return 4;
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
  const Finish f{target, channels, out.strides[1] * size, residual.strides[1]};

  std::int64_t width = s.out_w();
  // A pointwise convolution of rows without gaps is one of a single long row.
  const auto no_gaps = [](const TensorView& v, std::int64_t w) { return v.strides[2] == w * v.strides[3]; };
  if (s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 && s.out_w() == s.in_w && no_gaps(in, width) &&
      no_gaps(out, width) && (!residual.data || no_gaps(residual, width))) {
    width *= range.size();
    range.end = range.begin + 1;
  }
  using Widths = typename TileWidths<Vectors>::List;
  const int tile_width = best_width(Widths{}, width);
  const TileFunction run = tile_of<Vectors, Step>(Widths{}, tile_width);
  const std::int64_t block = first / kVectors;
  const std::uint8_t* from = static_cast<const std::uint8_t*>(in.data) + n * in.strides[0] + group * work.group_channels -
                             s.pad_top * in.strides[2] - s.pad_left * in.strides[3];
  std::uint8_t* to = static_cast<std::uint8_t*>(out.data) + (n * out.strides[0] + block * out.strides[1]) * size;
  const std::uint8_t* add =
      residual.data ? static_cast<const std::uint8_t*>(residual.data) + n * residual.strides[0] + block * residual.strides[1] : nullptr;
  for (std::int64_t y = range.begin; y < range.end; ++y) {
    const std::uint8_t* from_row = from + y * s.stride_h * in.strides[2];
    for (std::int64_t begin = 0; begin < width; begin += tile_width) {
      const std::int64_t x = smaller(begin, width - tile_width);
      run(work.quads, from_row + x * Step, work.weight + first * work.weight_vector, work.weight_vector, f,
          to + (y * out.strides[2] + x * kIntegerBlock) * size, add ? add + y * residual.strides[2] + x * kIntegerBlock : nullptr);
    }
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

[[maybe_unused]] Halo halo(const ConvShape& s) {
  return {static_cast<int>(s.pad_top), static_cast<int>(s.pad_left), static_cast<int>(s.pad_bottom), static_cast<int>(s.pad_right)};
}

/// The weight of input channel `c` (in its group) and tap `t` for output `o` (in its group); channels that do not exist weigh nothing.
[[maybe_unused]] std::int16_t weight_at(const ConvShape& s, const IntegerWeights& weights, std::int64_t g, std::int64_t o, std::int64_t c,
                                        std::int64_t t) {
  if (c >= s.group_in() || o >= s.group_out()) return 0;
  return weights.weight[((g * s.group_out() + o) * s.group_in() + c) * s.kernel_h * s.kernel_w + t];
}

}  // namespace
}  // namespace konv::KONV_ISA
