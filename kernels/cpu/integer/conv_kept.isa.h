// Integer convolution with pruned rows: walks only the quads (four input channels of one tap) that some output channel reads.
#include "kernels/cpu/integer/blocked_tile.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_kept_u8);

namespace KONV_ISA {
namespace {

/// Behind the channels' entries: the kept quads, counted as [input block][tap][quad of the block], then their weights.
std::int64_t list_bytes(const IntegerConvShape& s) { return round_up(4 * s.kept_quads, 64); }

std::size_t workspace(const IntegerConvShape& s) { return static_cast<std::size_t>(list_bytes(s)); }

void run(const IntegerConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape.conv;
  const TensorView& in = args.in;
  const auto* quads = static_cast<const std::int32_t*>(packed_channels(args.weight, s.out_channels).weight);
  auto* offsets = static_cast<std::int32_t*>(workspace);
  const std::int64_t taps = s.kernel_h * s.kernel_w, per_tap = kIntegerBlock / 4;
  for (std::int64_t i = 0; i < args.shape.kept_quads; ++i) {
    const std::int64_t quad = quads[i], block = quad / (taps * per_tap), tap = quad / per_tap % taps;
    offsets[i] = static_cast<std::int32_t>(block * in.strides[1] + tap / s.kernel_w * s.dilation_h * in.strides[2] +
                                           tap % s.kernel_w * s.dilation_w * in.strides[3] + quad % per_tap * 4);
  }
  const auto* weight = reinterpret_cast<const std::uint8_t*>(quads) + list_bytes(args.shape);
  run_chunk<kIntegerBlock>(Work<KeptWalk>{args, {offsets, args.shape.kept_quads}, weight, args.shape.kept_quads * kQuadWeightBytes, 0},
                           chunk);
}

std::size_t packed_bytes(const IntegerConvShape& s) {
  const std::int64_t vectors = ceil_div(s.conv.out_channels, kIntegerBlock) * kVectors;
  return packed_channel_bytes(s.conv.out_channels) + static_cast<std::size_t>(list_bytes(s) + vectors * s.kept_quads * kQuadWeightBytes);
}

void pack(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  pack_channels(s, weights, packed);
  auto* quads = static_cast<std::int32_t*>(packed_channels(packed, s.out_channels).weight);
  const std::int64_t taps = s.kernel_h * s.kernel_w, per_tap = kIntegerBlock / 4;
  std::int64_t count = 0;
  for (std::int64_t quad = 0; quad < ceil_div(s.in_channels, kIntegerBlock) * taps * per_tap; ++quad) {
    if (reads_quad(s, weights.weight, quad)) quads[count++] = static_cast<std::int32_t>(quad);
  }
  auto* to = reinterpret_cast<std::uint8_t*>(quads) + list_bytes(shape);
  for (std::int64_t o = 0; o < round_up(s.out_channels, kIntegerBlock); o += kLanes) {
    for (std::int64_t i = 0; i < count; ++i, to += kQuadWeightBytes) {
      const std::int64_t first = quads[i] / (taps * per_tap) * kIntegerBlock + quads[i] % per_tap * 4, tap = quads[i] / per_tap % taps;
      store_weights(to, [&](int lane, int c) { return weight_at(s, weights, 0, o + lane, first + c, tap); });
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const IntegerConvCode KONV_ISA_CODE(conv_kept_u8) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run},
                                                     kIntegerBlock,
                                                     kIntegerBlock,
                                                     KONV_ISA::halo,
                                                     KONV_ISA::packed_bytes,
                                                     KONV_ISA::pack};

}  // namespace konv
