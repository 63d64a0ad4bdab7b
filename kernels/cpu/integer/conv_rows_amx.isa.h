// Integer convolution on blocked images by tile registers (../amx.h) that read images where they lie: 64 bytes from a pixel's first tap on are four taps of 16
// channels, or sixteen of a first layer's 4, and the next pixel's begin one pixel (or a stride) later. Taps that do not exist have weights of 0, so kernels are
// three or four columns wide, or the tiles would compute zeros; nothing is gathered (conv_igemm_amx.isa.h).
#include "kernels/cpu/integer/amx.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_rows_u8), KONV_ISA_CODE(conv_first_u8);

namespace KONV_ISA {
namespace {

inline constexpr std::int64_t kMostPixels = 512;  ///< of a chunk, about: their inputs stay in the second cache

/// How a convolution is cut: output rows of all images into chunks, rows into tiles, output channels into strips, these into parts where there are few rows.
template <int InBlock>
struct Tiling {
  static constexpr std::int64_t kStepTaps = kRowBytes / InBlock;
  std::int64_t in_blocks, out_blocks, strips, column_steps, steps;
  std::int64_t width, row_tiles;  ///< pixels of a tile, tiles of an output row; the last one may overlap the one before
  std::int64_t rows, rows_per_chunk, row_chunks;
  std::int64_t strips_per_chunk, strip_chunks;

  /// `alone`: for one thread, which then prepares tiles once or twice instead of eight times.
  Tiling(const ConvShape& s, bool alone) {
    in_blocks = ceil_div(s.in_channels, InBlock);
    out_blocks = ceil_div(s.out_channels, kIntegerBlock);
    strips = ceil_div(out_blocks, kStripBlocks);
    column_steps = ceil_div(s.kernel_w, kStepTaps);
    steps = in_blocks * s.kernel_h * column_steps;
    row_tiles = ceil_div(s.out_w(), kRows);
    width = ceil_div(s.out_w(), row_tiles);
    rows = s.batch * s.out_h();
    std::int64_t parts = ceil_div(rows, clamped(kMostPixels / larger(1, s.out_w()), 1, larger(1, rows)));
    if (!alone && parts < kEnoughAmxChunks) parts = clamped(rows * row_tiles / 4, parts, smaller(rows, kEnoughAmxChunks));
    rows_per_chunk = ceil_div(rows, larger(1, parts));
    row_chunks = ceil_div(rows, larger(1, rows_per_chunk));
    strips_per_chunk = alone ? strips : ceil_div(strips, clamped(kEnoughAmxChunks / larger(1, row_chunks), 1, strips));
    strip_chunks = ceil_div(strips, strips_per_chunk);
  }
};

/// Where a tile of pixels begins, in elements.
struct TilePlace {
  std::int64_t in, out, residual;
};

/// The tiles of rows [rows.begin, rows.end) of all images one after the other.
template <int InBlock>
class Tiles {
 public:
  Tiles(const IntegerConvArgs& args, const Tiling<InBlock>& t, Range rows)
      : args_(args), t_(t), n_(quotient(rows.begin, args.shape.conv.out_h())), y_(rows.begin - n_ * args.shape.conv.out_h()) {}

  TilePlace next() {
    const ConvShape& s = args_.shape.conv;
    const std::int64_t x = smaller(tile_ * t_.width, s.out_w() - t_.width);
    const auto at = [&](const TensorView& v, std::int64_t y, std::int64_t column) {
      return v.data ? n_ * v.strides[0] + y * v.strides[2] + column * v.strides[3] : 0;
    };
    const TilePlace place{at(args_.in, y_ * s.stride_h - s.pad_top, x * s.stride_w - s.pad_left), at(args_.out, y_, x),
                          at(args_.residual, y_, x)};
    if (++tile_ == t_.row_tiles) {
      tile_ = 0;
      if (++y_ == s.out_h()) y_ = 0, ++n_;
    }
    return place;
  }

 private:
  const IntegerConvArgs& args_;
  const Tiling<InBlock>& t_;
  std::int64_t n_, y_, tile_ = 0;
};

template <int Blocks, int InBlock>
void run_strip(const IntegerConvArgs& args, const Strip& strip, const Tiling<InBlock>& t, Range rows, const std::int64_t* steps,
               std::int32_t* sums) {
  const std::int64_t count = rows.size() * t.row_tiles, ahead = lines_ahead<Blocks>(ceil_div(count, 2));
  const auto* in = static_cast<const std::uint8_t*>(args.in.data);
  const std::uint8_t* far = strip.weight + Blocks * t.steps * kWeightTile;
  std::int32_t* done = sums + kStripSums;
  Tiles<InBlock> tiles(args, t, rows);
  TilePlace before[2] = {};
  std::int64_t waiting = 0;  // tiles of `done`
  const auto finish_waiting = [&] {
    for (std::int64_t i = 0; i < waiting; ++i)
      finish<Blocks>(strip, done + i * t.width * Blocks * kIntegerBlock, t.width, before[i].out, before[i].residual);
  };
  for (std::int64_t tile = 0; tile < count; tile += 2, far += t.steps * ahead * 64) {
    const TilePlace first = tiles.next(), second = tile + 1 < count ? tiles.next() : first;
    multiply<BytesInTiles, Blocks>(t.steps, {in + first.in, in + second.in, args.shape.conv.stride_w * InBlock, steps}, strip.weight,
                                   strip.channels.start, t.width, sums, far, ahead);
    finish_waiting();
    std::int32_t* const newest = sums;
    sums = done, done = newest;
    before[0] = first, before[1] = second;
    waiting = smaller(2, count - tile);
  }
  finish_waiting();
}

template <int InBlock, bool Alone>
std::int64_t chunks(const IntegerConvShape& shape) {
  const Tiling<InBlock> t(shape.conv, Alone);
  return t.row_chunks * t.strip_chunks;
}

std::size_t sums_bytes() { return (2 * kStripSums + 4 * kStripBlocks * kIntegerBlock) * sizeof(std::int32_t); }

template <int InBlock>
std::size_t workspace(const IntegerConvShape& shape) {
  return sums_bytes() + static_cast<std::size_t>(Tiling<InBlock>(shape.conv, true).steps) * sizeof(std::int64_t);
}

template <int InBlock, bool Alone>
void run(const IntegerConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape.conv;
  const Tiling<InBlock> t(s, Alone);
  const Range rows = piece(t.rows, t.rows_per_chunk, chunk % t.row_chunks);
  const Range strips = piece(t.strips, t.strips_per_chunk, chunk / t.row_chunks);
  auto* sums = static_cast<std::int32_t*>(workspace);
  auto* steps = reinterpret_cast<std::int64_t*>(static_cast<char*>(workspace) + sums_bytes());
  std::int64_t* step = steps;
  for (std::int64_t block = 0; block < t.in_blocks; ++block) {
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      for (std::int64_t part = 0; part < t.column_steps; ++part)
        *step++ = block * args.in.strides[1] + ky * s.dilation_h * args.in.strides[2] + part * kRowBytes;
    }
  }
  const UsingTiles tiles(t.width);
  each_strip(strips, t.out_blocks, [&]<int Blocks>(std::int64_t strip) {
    run_strip<Blocks>(args, {args, t.steps, strip}, t, rows, steps, sums);
  });
}

/// Whole steps are read, also where they reach beyond the last tap.
template <int InBlock>
Halo halo(const ConvShape& s) {
  const std::int64_t columns = Tiling<InBlock>::kStepTaps * ceil_div(s.kernel_w, Tiling<InBlock>::kStepTaps);
  const std::int64_t right = (s.out_w() - 1) * s.stride_w + columns - s.pad_left - s.in_w;
  return {static_cast<int>(s.pad_top), static_cast<int>(s.pad_left), static_cast<int>(s.pad_bottom),
          static_cast<int>(larger(s.pad_right, right))};
}

template <int InBlock>
std::size_t packed_bytes(const IntegerConvShape& shape) {
  const Tiling<InBlock> t(shape.conv, true);
  return packed_channel_bytes(shape.conv.out_channels) + static_cast<std::size_t>(t.out_blocks * t.steps * kWeightTile);
}

template <int InBlock>
void pack(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  const Tiling<InBlock> t(s, true);
  pack_channels(s, weights, packed);
  pack_strips<BytesInTiles>(t.out_blocks, t.steps, packed_channels(packed, s.out_channels).weight,
                            [&](std::int64_t output, std::int64_t step, std::int64_t input) -> std::int16_t {
                              const std::int64_t column = step % t.column_steps * t.kStepTaps + input / InBlock;
                              const std::int64_t ky = step / t.column_steps % s.kernel_h;
                              const std::int64_t c = step / t.column_steps / s.kernel_h * InBlock + input % InBlock;
                              if (column >= s.kernel_w || c >= s.in_channels || output >= s.out_channels) return 0;
                              return weights.weight[((output * s.in_channels + c) * s.kernel_h + ky) * s.kernel_w + column];
                            });
}

template <int InBlock>
constexpr IntegerConvCode kRowsCode = {{chunks<InBlock, false>, workspace<InBlock>, run<InBlock, false>},
                                       InBlock,
                                       kIntegerBlock,
                                       halo<InBlock>,
                                       packed_bytes<InBlock>,
                                       pack<InBlock>,
                                       {chunks<InBlock, true>, workspace<InBlock>, run<InBlock, true>}};

}  // namespace
}  // namespace KONV_ISA

const IntegerConvCode KONV_ISA_CODE(conv_rows_u8) = KONV_ISA::kRowsCode<kIntegerBlock>;
const IntegerConvCode KONV_ISA_CODE(conv_first_u8) = KONV_ISA::kRowsCode<kFirstBlock>;

}  // namespace konv
