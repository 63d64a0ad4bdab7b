// Depthwise integer convolution of 16-bit images in blocks of 16 channels: a vector is channels of one pixel, widened to 32 bits as it is loaded. Sums of products
// with the high and the low part of the weights (finish_s16.h) are kept apart in 32 bits, which up to kMostTaps taps cannot overflow.
#include "kernels/cpu/integer/finish_s16.h"
#include "kernels/cpu/padding.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_depthwise_s16);

namespace KONV_ISA {
namespace {

static_assert(kMostTapsS16 * 32768 * 255 <= INT32_MAX);

inline constexpr int kVectors = kIntegerBlock / kLanes;
inline constexpr int kMostPixels = 4;  // two sums each

inline __attribute__((always_inline)) Pairs load_wide(const std::int16_t* p) {
  typedef std::int16_t Shorts __attribute__((vector_size(2 * kLanes)));
  Shorts shorts;
  std::memcpy(&shorts, p, sizeof shorts);
  return (Pairs) __builtin_convertvector(shorts, Ints);  // the upper half meets a weight of 0
}

struct Walk {
  std::int64_t kernel_h, kernel_w, tap_row, tap_column;
};

/// Adds to the sums of kLanes channels of `Pixels` pixels that lie `step` numbers apart. Weights: [tap][high, low][vector][kLanes][2].
template <int Pixels>
void accumulate(const Walk& walk, const std::int16_t* in, std::int64_t step, const std::int16_t* weight, std::int64_t* sums) {
  constexpr std::int64_t part = 2 * kIntegerBlock;
  Ints high[Pixels] = {}, low[Pixels] = {};
  for (std::int64_t ky = 0; ky < walk.kernel_h; ++ky, in += walk.tap_row) {
    const std::int16_t* tap = in;
    for (std::int64_t kx = 0; kx < walk.kernel_w; ++kx, tap += walk.tap_column, weight += 2 * part) {
      const Pairs w_high = load_pairs(weight), w_low = load_pairs(weight + part);
#pragma GCC unroll 4
      for (int p = 0; p < Pixels; ++p) {
        const Pairs x = load_wide(tap + p * step);
        high[p] = add_products(high[p], x, w_high);
        low[p] = add_products(low[p], x, w_low);
      }
    }
  }
  add_parts(high, low, sums);
}

template <int Pixels>
void tile(const IntegerConvArgs& args, const Walk& walk, const std::int16_t* in, std::int64_t step, const std::int16_t* weight,
          const Lanes& lanes, std::int64_t out_at, std::int64_t residual_at) {
  std::int64_t sums[Pixels * kLanes];
  for (int p = 0; p < Pixels; ++p) std::memcpy(sums + p * kLanes, lanes.start, kLanes * sizeof *sums);
  accumulate<Pixels>(walk, in, step, weight, sums);
  for (int p = 0; p < Pixels; ++p) finish(args, sums + p * kLanes, lanes, out_at + p * kIntegerBlock, residual_at + p * kIntegerBlock);
}

std::int64_t blocks(const ConvShape& s) { return ceil_div(s.out_channels, kIntegerBlock); }

PlaneTiles tiles(const ConvShape& s) {
  return tile_planes(s.batch * blocks(s), s.out_h(), s.out_w() * (2 * s.kernel_h * s.kernel_w + 20) * kIntegerBlock, kChunkMacs);
}

std::int64_t chunks(const IntegerConvShape& s) { return tiles(s.conv).count(); }
std::size_t workspace(const IntegerConvShape&) { return 0; }

/// Output rows of image `n` for one block of channels.
void run_block(const IntegerConvArgs& args, const Packed& packed, std::int64_t n, std::int64_t block, Range rows) {
  const ConvShape& s = args.shape.conv;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  const Walk walk{s.kernel_h, s.kernel_w, s.dilation_h * in.strides[2], s.dilation_w * in.strides[3]};
  const std::int64_t width = s.out_w(), step = s.stride_w * in.strides[3];
  const int tile_width = width >= kMostPixels ? kMostPixels : 1;
  const auto run = tile_width == kMostPixels ? &tile<kMostPixels> : &tile<1>;
  const std::int16_t* from = static_cast<const std::int16_t*>(in.data) + n * in.strides[0] + block * in.strides[1] -
                             s.pad_top * in.strides[2] - s.pad_left * in.strides[3];
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t channel = block * kIntegerBlock + v * kLanes;
    const Lanes lanes{packed.start + channel, packed.channels.multiplier + channel, packed.channels.offset + channel};
    const std::int16_t* weight = packed.weight + block * s.kernel_h * s.kernel_w * 4 * kIntegerBlock + v * 2 * kLanes;
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      for (std::int64_t begin = 0; begin < width; begin += tile_width) {
        const std::int64_t x = smaller(begin, width - tile_width);
        run(args, walk, from + y * s.stride_h * in.strides[2] + x * step + v * kLanes, step, weight, lanes,
            n * out.strides[0] + block * out.strides[1] + y * out.strides[2] + x * kIntegerBlock + v * kLanes,
            n * residual.strides[0] + block * residual.strides[1] + y * residual.strides[2] + x * kIntegerBlock + v * kLanes);
      }
    }
  }
}

void run(const IntegerConvArgs& args, std::int64_t chunk, void*) {
  const ConvShape& s = args.shape.conv;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * blocks(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h(), t.rows_per_chunk, chunk % t.row_chunks);
  const Packed packed = packed_of(args.weight, s);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) run_block(args, packed, p / blocks(s), p % blocks(s), rows);
}

std::size_t packed_bytes(const IntegerConvShape& s) {
  const std::int64_t outputs = packed_outputs(s.conv.out_channels);
  return packed_channel_bytes(s.conv.out_channels) +
         static_cast<std::size_t>(outputs * 8 + outputs * s.conv.kernel_h * s.conv.kernel_w * 4 * 2);
}

/// [block][tap][high, low][16][2], of each pair the second 0.
void pack(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  const Packed to = pack_channels_s16(s, weights, packed);
  const std::int64_t taps = s.kernel_h * s.kernel_w;
  std::int16_t* w = to.weight;
  for (std::int64_t first = 0; first < s.out_channels; first += kIntegerBlock) {
    for (std::int64_t t = 0; t < taps; ++t, w += 4 * kIntegerBlock) {
      for (std::int64_t l = 0; l < kIntegerBlock; ++l) {
        const int weight = first + l < s.out_channels ? weights.weight[(first + l) * taps + t] : 0;
        w[2 * l] = high_part(weight);
        w[2 * kIntegerBlock + 2 * l] = low_part(weight);
        w[2 * l + 1] = w[2 * kIntegerBlock + 2 * l + 1] = 0;
      }
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const IntegerConvCode KONV_ISA_CODE(conv_depthwise_s16) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run},
                                                           kIntegerBlock,
                                                           kIntegerBlock,
                                                           padding_halo,
                                                           KONV_ISA::packed_bytes,
                                                           KONV_ISA::pack};

}  // namespace konv
