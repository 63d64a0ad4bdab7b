// Integer convolution on images in blocks of channels ([N][C/16][H][W][16], or blocks of 4 for a network's first layer) with a physical halo.
#include "kernels/cpu/integer/blocked_tile.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_blocked_u8);
extern const IntegerConvCode KONV_ISA_CODE(conv_first_u8);

namespace KONV_ISA {
namespace {

std::int64_t weight_vector_bytes(const ConvShape& s, int in_block) {
  return round_up(s.group_in(), in_block) / 4 * s.kernel_h * s.kernel_w * kQuadWeightBytes;
}

std::size_t workspace(const IntegerConvShape&) { return 0; }

template <int InBlock>
void run(const IntegerConvArgs& args, std::int64_t chunk, void*) {
  const ConvShape& s = args.shape.conv;
  const TensorView& in = args.in;
  const std::int64_t in_blocks = ceil_div(s.group_in(), InBlock);
  const DenseWalk walk{in_blocks, in.strides[1], s.kernel_h, s.kernel_w, s.dilation_h * in.strides[2], s.dilation_w * in.strides[3],
                       InBlock};
  const auto* weight = static_cast<const std::uint8_t*>(packed_channels(args.weight, s.out_channels).weight);
  run_chunk<InBlock>(Work<DenseWalk>{args, walk, weight, weight_vector_bytes(s, InBlock), in_blocks * in.strides[1]}, chunk);
}

template <int InBlock>
std::size_t packed_bytes(const IntegerConvShape& s) {
  const std::int64_t vectors = s.conv.groups * ceil_div(s.conv.group_out(), kIntegerBlock) * kVectors;
  return packed_channel_bytes(s.conv.out_channels) + static_cast<std::size_t>(vectors * weight_vector_bytes(s.conv, InBlock));
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
