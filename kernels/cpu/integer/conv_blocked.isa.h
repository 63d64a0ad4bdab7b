// Integer convolution on images in blocks of channels ([N][C/16][H][W][16], or blocks of 4 for a network's first layer) with a physical halo.
// Sums of output channels x pixels stay in registers; four input channels of a pixel are one broadcast (dot.h).
#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_blocked_u8);
extern const IntegerConvCode KONV_ISA_CODE(conv_first_u8);

namespace KONV_ISA {
namespace {

inline constexpr int kVectors = kIntegerBlock / kLanes;  ///< of one block of output channels

/// How a tile walks its input: blocks of channels, then the taps. Strides in bytes.
struct Walk {
  std::int64_t blocks, block_stride;
  std::int64_t kernel_h, kernel_w, tap_row, tap_column;
  std::int64_t weight_vector;  ///< from the weights of kLanes output channels to the next
};

struct Finish {
  Target target;
  PackedChannels channels;                 ///< of the first output
  std::int64_t out_block, residual_block;  ///< bytes
};

/// `Vectors` vectors of output channels from a block's first one on, `Pixels` pixels that lie Step apart in the input.
template <int Pixels, int Vectors, int Step, int InBlock>
void tile(const Walk& walk, const std::uint8_t* in, const std::uint8_t* weight, const Finish& f, std::uint8_t* out,
          const std::uint8_t* residual) {
  Ints sums[Vectors][Pixels];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    const Ints start = load_ints(f.channels.start + v * kLanes);
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) sums[v][p] = start;
  }
  for (std::int64_t block = 0; block < walk.blocks; ++block, in += walk.block_stride) {
    const std::uint8_t* row = in;
    for (std::int64_t ky = 0; ky < walk.kernel_h; ++ky, row += walk.tap_row) {
      const std::uint8_t* tap = row;
      for (std::int64_t kx = 0; kx < walk.kernel_w; ++kx, tap += walk.tap_column) {
        for (int c = 0; c < InBlock; c += 4, weight += kQuadWeightBytes) {
          WeightQuad w[Vectors];
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v) w[v] = load_weights(weight + v * walk.weight_vector);
#pragma GCC unroll 16
          for (int p = 0; p < Pixels; ++p) {
            const Quad x = broadcast_quad(tap + p * Step * InBlock + c);
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sums[v][p] = dot(sums[v][p], x, w[v]);
          }
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    const Vector multiplier = load(f.channels.multiplier + v * kLanes), offset = load(f.channels.offset + v * kLanes);
    const std::int64_t size = f.target.size();
    std::uint8_t* to = out + v / kVectors * f.out_block + v % kVectors * kLanes * size;
    const std::uint8_t* add = residual ? residual + v / kVectors * f.residual_block + v % kVectors * kLanes : nullptr;
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p)
      finish_sums(f.target, sums[v][p], multiplier, offset, add ? add + p * kIntegerBlock : nullptr, to + p * kIntegerBlock * size);
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

using TileFunction = void (*)(const Walk&, const std::uint8_t*, const std::uint8_t*, const Finish&, std::uint8_t*, const std::uint8_t*);

template <int Vectors, int Step, int InBlock, int... Widths>
TileFunction tile_of(WidthList<Widths...>, int width) {
  TileFunction found = nullptr;
  ((found = width == Widths ? &tile<Widths, Vectors, Step, InBlock> : found), ...);
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
  t.planes = tile_planes(s.batch * s.groups * t.parts, s.out_h(), s.out_w() * s.k() * t.together * kLanes, 4 * kChunkMacs);
  return t;
}

std::int64_t weight_vector_bytes(const ConvShape& s, int in_block) {
  return round_up(s.group_in(), in_block) / 4 * s.kernel_h * s.kernel_w * kQuadWeightBytes;
}

template <int Vectors, int Step, int InBlock>
void rows(const IntegerConvArgs& args, std::int64_t n, std::int64_t group, std::int64_t vector, Range range) {
  const ConvShape& s = args.shape.conv;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  const std::int64_t in_blocks = ceil_div(s.group_in(), InBlock), vectors_per_group = ceil_div(s.group_out(), kIntegerBlock) * kVectors;
  const std::int64_t first = group * vectors_per_group + vector, weight_vector = weight_vector_bytes(s, InBlock);
  const Walk walk{in_blocks,    in.strides[1], s.kernel_h, s.kernel_w, s.dilation_h * in.strides[2], s.dilation_w * in.strides[3],
                  weight_vector};
  PackedChannels channels = packed_channels(args.weight, s.out_channels);
  const std::uint8_t* weight = static_cast<const std::uint8_t*>(channels.weight) + first * weight_vector;
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
  const TileFunction run = tile_of<Vectors, Step, InBlock>(Widths{}, tile_width);
  const std::int64_t block = first / kVectors;
  const std::uint8_t* from = static_cast<const std::uint8_t*>(in.data) + n * in.strides[0] + group * in_blocks * in.strides[1] -
                             s.pad_top * in.strides[2] - s.pad_left * in.strides[3];
  std::uint8_t* to = static_cast<std::uint8_t*>(out.data) + (n * out.strides[0] + block * out.strides[1]) * size;
  const std::uint8_t* add =
      residual.data ? static_cast<const std::uint8_t*>(residual.data) + n * residual.strides[0] + block * residual.strides[1] : nullptr;
  for (std::int64_t y = range.begin; y < range.end; ++y) {
    const std::uint8_t* from_row = from + y * s.stride_h * in.strides[2];
    for (std::int64_t begin = 0; begin < width; begin += tile_width) {
      const std::int64_t x = smaller(begin, width - tile_width);
      run(walk, from_row + x * Step * InBlock, weight, f, to + (y * out.strides[2] + x * kIntegerBlock) * size,
          add ? add + y * residual.strides[2] + x * kIntegerBlock : nullptr);
    }
  }
}

template <int Step, int InBlock>
void vectors(const IntegerConvArgs& args, std::int64_t n, std::int64_t group, Range range, Range out_rows) {
  for (std::int64_t v = range.begin; v < range.end;) {
    const std::int64_t left = range.end - v;
    if (left >= 4) {
      if constexpr (kMostVectors >= 4) rows<4, Step, InBlock>(args, n, group, v, out_rows);
      v += 4;
    } else if (left >= 2) {
      if constexpr (kVectors <= 2) rows<2, Step, InBlock>(args, n, group, v, out_rows);
      v += 2;
    } else {
      if constexpr (kVectors == 1) rows<1, Step, InBlock>(args, n, group, v, out_rows);
      v += 1;
    }
  }
}

template <int InBlock>
void run_parts(const IntegerConvArgs& args, const Tiles& t, Range planes, Range out_rows) {
  const ConvShape& s = args.shape.conv;
  const std::int64_t parts = s.groups * t.parts;
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const std::int64_t n = t.images_inside ? p % s.batch : p / parts, part = t.images_inside ? p / s.batch : p % parts;
    const Range range = piece(t.vectors_per_group, t.together, part % t.parts);
    if (s.stride_w == 1) {
      vectors<1, InBlock>(args, n, part / t.parts, range, out_rows);
    } else {
      vectors<2, InBlock>(args, n, part / t.parts, range, out_rows);
    }
  }
}

std::int64_t chunks(const IntegerConvShape& s) { return tiles(s.conv).planes.count(); }
std::size_t workspace(const IntegerConvShape&) { return 0; }

template <int InBlock>
void run(const IntegerConvArgs& args, std::int64_t chunk, void*) {
  const ConvShape& s = args.shape.conv;
  const Tiles t = tiles(s);
  const Range planes = piece(s.batch * s.groups * t.parts, t.planes.planes_per_chunk, chunk / t.planes.row_chunks);
  const Range out_rows = piece(s.out_h(), t.planes.rows_per_chunk, chunk % t.planes.row_chunks);
  run_parts<InBlock>(args, t, planes, out_rows);
}

template <int InBlock>
std::size_t packed_bytes(const IntegerConvShape& s) {
  const std::int64_t vectors = s.conv.groups * ceil_div(s.conv.group_out(), kIntegerBlock) * kVectors;
  return packed_channel_bytes(s.conv.out_channels) + static_cast<std::size_t>(vectors * weight_vector_bytes(s.conv, InBlock));
}

/// [group][vector of outputs][input block][tap][four inputs][kLanes]; channels that do not exist weigh nothing.
template <int InBlock>
void pack(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  pack_channels(s, weights, packed);
  auto* to = static_cast<std::uint8_t*>(packed_channels(packed, s.out_channels).weight);
  const std::int64_t taps = s.kernel_h * s.kernel_w, group_in = s.group_in(), group_out = s.group_out();
  for (std::int64_t g = 0; g < s.groups; ++g) {
    for (std::int64_t o = 0; o < round_up(group_out, kIntegerBlock); o += kLanes) {
      for (std::int64_t block = 0; block < group_in; block += InBlock) {
        for (std::int64_t t = 0; t < taps; ++t) {
          for (std::int64_t c = block; c < block + InBlock; c += 4, to += kQuadWeightBytes) {
            store_weights(to, [&](int lane, int i) -> std::int16_t {
              const bool exists = c + i < group_in && o + lane < group_out;
              return exists ? weights.weight[((g * group_out + o + lane) * group_in + c + i) * taps + t] : std::int16_t{0};
            });
          }
        }
      }
    }
  }
}

Halo halo(const ConvShape& s) {
  return {static_cast<int>(s.pad_top), static_cast<int>(s.pad_left), static_cast<int>(s.pad_bottom), static_cast<int>(s.pad_right)};
}

}  // namespace
}  // namespace KONV_ISA

const IntegerConvCode KONV_ISA_CODE(conv_blocked_u8) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run<kIntegerBlock>},
                                                        kIntegerBlock,
                                                        kIntegerBlock,
                                                        KONV_ISA::halo,
                                                        KONV_ISA::packed_bytes<kIntegerBlock>,
                                                        KONV_ISA::pack<kIntegerBlock>};
const IntegerConvCode KONV_ISA_CODE(conv_first_u8) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run<kFirstBlock>},
                                                      kFirstBlock,
                                                      kIntegerBlock,
                                                      KONV_ISA::halo,
                                                      KONV_ISA::packed_bytes<kFirstBlock>,
                                                      KONV_ISA::pack<kFirstBlock>};

}  // namespace konv
