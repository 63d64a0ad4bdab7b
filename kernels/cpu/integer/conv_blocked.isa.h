// Integer convolution on images in blocks of channels ([N][C/16][H][W][16], or blocks of 4 for a network's first layer) with a physical halo.
// Three entries: all channels and taps; the same for the first layer; only the quads (four input channels of one tap) that pruning has left.
#include "kernels/cpu/integer/blocked_tile.h"
#include "kernels/cpu/kept.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_blocked_u8);
extern const IntegerConvCode KONV_ISA_CODE(conv_first_u8);
extern const IntegerConvCode KONV_ISA_CODE(conv_kept_u8);

namespace KONV_ISA {
namespace {

std::int64_t list_bytes(std::int64_t quads) { return round_up(4 * quads, 64); }

std::int64_t quads_of(const ConvShape& s, int in_block) { return round_up(s.group_in(), in_block) / 4 * s.kernel_h * s.kernel_w; }

/// Vectors of output channels of all groups.
std::int64_t output_vectors(const ConvShape& s) { return s.groups * ceil_div(s.group_out(), kIntegerBlock) * kVectors; }

template <int InBlock>
std::size_t workspace(const IntegerConvShape& s) {
  return static_cast<std::size_t>(list_bytes(quads_of(s.conv, InBlock)));
}

template <int InBlock>
void run(const IntegerConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape.conv;
  const TensorView& in = args.in;
  const std::int64_t in_blocks = ceil_div(s.group_in(), InBlock), quads = quads_of(s, InBlock);
  auto* offset = static_cast<std::int32_t*>(workspace);
  for (std::int64_t block = 0; block < in_blocks; ++block) {
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
        const std::int64_t first = block * in.strides[1] + ky * s.dilation_h * in.strides[2] + kx * s.dilation_w * in.strides[3];
        for (int c = 0; c < InBlock; c += 4) *offset++ = static_cast<std::int32_t>((first + c) / 4);
      }
    }
  }
  const auto* weight = static_cast<const std::uint8_t*>(packed_channels(args.weight, s.out_channels).weight);
  run_chunk<InBlock>({args, {static_cast<std::int32_t*>(workspace), quads}, weight, quads * kQuadWeightBytes, in_blocks * in.strides[1]},
                     chunk);
}

template <int InBlock>
std::size_t packed_bytes(const IntegerConvShape& s) {
  return packed_channel_bytes(s.conv.out_channels) +
         static_cast<std::size_t>(output_vectors(s.conv) * quads_of(s.conv, InBlock) * kQuadWeightBytes);
}

/// [group][vector of outputs][input block][tap][four inputs][kLanes]
template <int InBlock>
void pack(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  pack_channels(s, weights, packed);
  auto* to = static_cast<std::uint8_t*>(packed_channels(packed, s.out_channels).weight);
  for (std::int64_t g = 0; g < s.groups; ++g) {
    for (std::int64_t o = 0; o < round_up(s.group_out(), kIntegerBlock); o += kLanes) {
      for (std::int64_t block = 0; block < s.group_in(); block += InBlock) {
        for (std::int64_t t = 0; t < s.kernel_h * s.kernel_w; ++t) {
          for (std::int64_t c = block; c < block + InBlock; c += 4, to += kQuadWeightBytes)
            store_weights(to, [&](int lane, int i) { return weight_at(s, weights, g, o + lane, c + i, t); });
        }
      }
    }
  }
}

std::int64_t kept_bytes(const IntegerConvShape& s) { return round_up(s.kept_quads * static_cast<std::int64_t>(sizeof(KeptRow)), 64); }

std::size_t kept_workspace(const IntegerConvShape& s) { return static_cast<std::size_t>(list_bytes(s.kept_quads)); }

void run_kept(const IntegerConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape.conv;
  const auto* kept = static_cast<const KeptRow*>(packed_channels(args.weight, s.out_channels).weight);
  auto* offsets = static_cast<std::int32_t*>(workspace);
  const std::int64_t count = args.shape.kept_quads;
  write_offsets(kept, count, args.in, s.dilation_h, s.dilation_w, 4, offsets);
  const auto* weight = reinterpret_cast<const std::uint8_t*>(kept) + kept_bytes(args.shape);
  run_chunk<kIntegerBlock>({args, {offsets, count}, weight, count * kQuadWeightBytes, 0}, chunk);
}

std::size_t kept_packed_bytes(const IntegerConvShape& s) {
  return packed_channel_bytes(s.conv.out_channels) +
         static_cast<std::size_t>(kept_bytes(s) + output_vectors(s.conv) * s.kept_quads * kQuadWeightBytes);
}

/// The list of kept quads, then [vector of outputs][kept quad][four inputs][kLanes].
void pack_kept(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  pack_channels(s, weights, packed);
  auto* kept = static_cast<KeptRow*>(packed_channels(packed, s.out_channels).weight);
  const std::int64_t taps = s.kernel_h * s.kernel_w, per_tap = kIntegerBlock / 4;
  std::int64_t count = 0;
  for (std::int64_t quad = 0; quad < ceil_div(s.in_channels, kIntegerBlock) * taps * per_tap; ++quad) {
    if (!reads_quad(s, weights.weight, quad)) continue;
    const std::int64_t tap = quad / per_tap % taps;
    kept[count++] = {static_cast<std::int32_t>(quad / (taps * per_tap)), static_cast<std::int16_t>(tap / s.kernel_w),
                     static_cast<std::int16_t>(tap % s.kernel_w), static_cast<std::int16_t>(quad % per_tap * 4), 0};
  }
  auto* to = reinterpret_cast<std::uint8_t*>(kept) + kept_bytes(shape);
  for (std::int64_t o = 0; o < round_up(s.out_channels, kIntegerBlock); o += kLanes) {
    for (std::int64_t i = 0; i < count; ++i, to += kQuadWeightBytes) {
      const KeptRow& k = kept[i];
      store_weights(to, [&](int lane, int c) {
        return weight_at(s, weights, 0, o + lane, k.block * kIntegerBlock + k.lane + c, k.row * s.kernel_w + k.column);
      });
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const IntegerConvCode KONV_ISA_CODE(conv_blocked_u8) = {
    {KONV_ISA::chunks, KONV_ISA::workspace<kIntegerBlock>, KONV_ISA::run<kIntegerBlock>},
    kIntegerBlock,
    kIntegerBlock,
    padding_halo,
    KONV_ISA::packed_bytes<kIntegerBlock>,
    KONV_ISA::pack<kIntegerBlock>};
const IntegerConvCode KONV_ISA_CODE(conv_first_u8) = {{KONV_ISA::chunks, KONV_ISA::workspace<kFirstBlock>, KONV_ISA::run<kFirstBlock>},
                                                      kFirstBlock,
                                                      kIntegerBlock,
                                                      padding_halo,
                                                      KONV_ISA::packed_bytes<kFirstBlock>,
                                                      KONV_ISA::pack<kFirstBlock>};
const IntegerConvCode KONV_ISA_CODE(conv_kept_u8) = {{KONV_ISA::chunks, KONV_ISA::kept_workspace, KONV_ISA::run_kept},
                                                     kIntegerBlock,
                                                     kIntegerBlock,
                                                     padding_halo,
                                                     KONV_ISA::kept_packed_bytes,
                                                     KONV_ISA::pack_kept};

}  // namespace konv
