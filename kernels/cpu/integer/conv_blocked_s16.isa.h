// Integer convolution of 16-bit images by weights of up to 16 bits, in blocks of channels as conv_blocked.isa.h. Its sums need more than 32 bits:
//
//   w = 256 high + low     high signed, low 0 to 255, both taken apart when the weights are packed
//   pairs of products of x with either part are added up in 32 bits, kMostPairs at a time, which cannot overflow, then in 64 bits
#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish_s16.h"
#include "kernels/cpu/padding.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_blocked_s16);
extern const IntegerConvCode KONV_ISA_CODE(conv_first_s16);

namespace KONV_ISA {
namespace {

/// A pair of products with a low part is at most 2 x 32768 x 255 in magnitude, and with a high one half of that.
inline constexpr std::int64_t kMostPairs = 128;
static_assert(kMostPairs * 2 * 32768 * 255 <= INT32_MAX);

inline constexpr int kVectors = kIntegerBlock / kLanes;
inline constexpr int kMostPixels = kRegisters == 32 ? 8 : 4;  // two sums each

inline __attribute__((always_inline)) Pairs broadcast_pair(const std::int16_t* p) {
  std::int32_t both;
  std::memcpy(&both, p, sizeof both);
  const Ints lanes = Ints{} + both;
  Pairs v;
  std::memcpy(&v, &lanes, sizeof v);
  return v;
}

/// The pairs of input channels and taps that a tile reads: their distances from a pixel's first number, in pairs.
struct PairList {
  const std::int32_t* offsets;
  std::int64_t count;
};

/// Adds to the sums of kLanes output channels x `Pixels` pixels that lie `step` numbers apart. Weights: [pair][high, low][kLanes][2].
template <int Pixels>
__attribute__((noinline)) void accumulate(const PairList& pairs, const std::int16_t* in, std::int64_t step, const std::int16_t* weight,
                                          std::int64_t* sums) {
  for (std::int64_t begin = 0; begin < pairs.count; begin += kMostPairs) {
    Ints high[Pixels] = {}, low[Pixels] = {};
    for (std::int64_t i = begin; i < smaller(pairs.count, begin + kMostPairs); ++i, weight += 4 * kLanes) {
      const std::int16_t* x = in + 2 * std::int64_t{pairs.offsets[i]};
      const Pairs w_high = load_pairs(weight), w_low = load_pairs(weight + 2 * kLanes);
#pragma GCC unroll 8
      for (int p = 0; p < Pixels; ++p) {
        const Pairs pair = broadcast_pair(x + p * step);
        high[p] = add_products(high[p], pair, w_high);
        low[p] = add_products(low[p], pair, w_low);
      }
    }
    add_parts(high, low, sums);
  }
}

template <int Pixels>
void tile(const IntegerConvArgs& args, const PairList& pairs, const std::int16_t* in, std::int64_t step, const std::int16_t* weight,
          const Lanes& lanes, std::int64_t out_at, std::int64_t residual_at) {
  std::int64_t sums[Pixels * kLanes];
  for (int p = 0; p < Pixels; ++p) std::memcpy(sums + p * kLanes, lanes.start, kLanes * sizeof *sums);
  accumulate<Pixels>(pairs, in, step, weight, sums);
  for (int p = 0; p < Pixels; ++p) finish(args, sums + p * kLanes, lanes, out_at + p * kIntegerBlock, residual_at + p * kIntegerBlock);
}

std::int64_t blocks(const ConvShape& s) { return ceil_div(s.out_channels, kIntegerBlock); }
std::int64_t pairs_of(const ConvShape& s, int in_block) { return round_up(s.group_in(), in_block) / 2 * s.kernel_h * s.kernel_w; }

PlaneTiles tiles(const ConvShape& s) { return tile_planes(s.batch * blocks(s), s.out_h(), s.out_w() * s.k() * kIntegerBlock, kChunkMacs); }

std::int64_t chunks(const IntegerConvShape& s) { return tiles(s.conv).count(); }

template <int InBlock>
std::size_t workspace(const IntegerConvShape& s) {
  return static_cast<std::size_t>(4 * pairs_of(s.conv, InBlock));
}

/// Output rows of image `n` for one block of output channels.
void run_block(const IntegerConvArgs& args, const Packed& packed, const PairList& pairs, std::int64_t n, std::int64_t block, Range rows) {
  const ConvShape& s = args.shape.conv;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  const std::int64_t width = s.out_w(), step = s.stride_w * in.strides[3];
  const int tile_width = width >= kMostPixels ? kMostPixels : width >= 4 ? 4 : 1;
  const auto run = tile_width == kMostPixels ? &tile<kMostPixels> : tile_width == 4 ? &tile<4> : &tile<1>;
  const std::int64_t group = s.groups == 1 ? 0 : block / (s.group_out() / kIntegerBlock);  // grouped ones have whole blocks
  const std::int16_t* from = static_cast<const std::int16_t*>(in.data) + n * in.strides[0] +
                             group * (s.group_in() / kIntegerBlock) * in.strides[1] - s.pad_top * in.strides[2] -
                             s.pad_left * in.strides[3];
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t channel = block * kIntegerBlock + v * kLanes;
    const Lanes lanes{packed.start + channel, packed.channels.multiplier + channel, packed.channels.offset + channel};
    const std::int16_t* weight = packed.weight + channel / kLanes * pairs.count * 4 * kLanes;
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      for (std::int64_t begin = 0; begin < width; begin += tile_width) {
        const std::int64_t x = smaller(begin, width - tile_width);
        run(args, pairs, from + y * s.stride_h * in.strides[2] + x * step, step, weight, lanes,
            n * out.strides[0] + block * out.strides[1] + y * out.strides[2] + x * kIntegerBlock + v * kLanes,
            n * residual.strides[0] + block * residual.strides[1] + y * residual.strides[2] + x * kIntegerBlock + v * kLanes);
      }
    }
  }
}

template <int InBlock>
void run(const IntegerConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape.conv;
  const TensorView& in = args.in;
  auto* offset = static_cast<std::int32_t*>(workspace);
  for (std::int64_t block = 0; block < ceil_div(s.group_in(), InBlock); ++block) {
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
        const std::int64_t first = block * in.strides[1] + ky * s.dilation_h * in.strides[2] + kx * s.dilation_w * in.strides[3];
        for (int c = 0; c < InBlock; c += 2) *offset++ = static_cast<std::int32_t>((first + c) / 2);
      }
    }
  }
  const PairList pairs{static_cast<std::int32_t*>(workspace), pairs_of(s, InBlock)};
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * blocks(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h(), t.rows_per_chunk, chunk % t.row_chunks);
  const Packed packed = packed_of(args.weight, s);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) run_block(args, packed, pairs, p / blocks(s), p % blocks(s), rows);
}

template <int InBlock>
std::size_t packed_bytes(const IntegerConvShape& s) {
  const std::int64_t outputs = packed_outputs(s.conv.out_channels);
  return packed_channel_bytes(s.conv.out_channels) + static_cast<std::size_t>(outputs * 8 + outputs * pairs_of(s.conv, InBlock) * 4 * 2);
}

/// [vector of outputs][input block of its group][tap][pair of inputs][high, low][kLanes][2]; channels that do not exist weigh nothing.
template <int InBlock>
void pack(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  const Packed to = pack_channels_s16(s, weights, packed);
  const std::int64_t taps = s.kernel_h * s.kernel_w, group_in = s.group_in();
  std::int16_t* w = to.weight;
  for (std::int64_t o = 0; o < packed_outputs(s.out_channels); o += kLanes) {
    for (std::int64_t block = 0; block < group_in; block += InBlock) {
      for (std::int64_t t = 0; t < taps; ++t) {
        for (std::int64_t c = block; c < block + InBlock; c += 2, w += 4 * kLanes) {
          for (int l = 0; l < kLanes; ++l) {
            for (int i = 0; i < 2; ++i) {
              const bool exists = o + l < s.out_channels && c + i < group_in;
              const int weight = exists ? weights.weight[((o + l) * group_in + c + i) * taps + t] : 0;
              w[2 * l + i] = high_part(weight);
              w[2 * kLanes + 2 * l + i] = low_part(weight);
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const IntegerConvCode KONV_ISA_CODE(conv_blocked_s16) = {
    {KONV_ISA::chunks, KONV_ISA::workspace<kIntegerBlock>, KONV_ISA::run<kIntegerBlock>},
    kIntegerBlock,
    kIntegerBlock,
    padding_halo,
    KONV_ISA::packed_bytes<kIntegerBlock>,
    KONV_ISA::pack<kIntegerBlock>};
const IntegerConvCode KONV_ISA_CODE(conv_first_s16) = {{KONV_ISA::chunks, KONV_ISA::workspace<kFirstBlock>, KONV_ISA::run<kFirstBlock>},
                                                       kFirstBlock,
                                                       kIntegerBlock,
                                                       padding_halo,
                                                       KONV_ISA::packed_bytes<kFirstBlock>,
                                                       KONV_ISA::pack<kFirstBlock>};

}  // namespace konv
