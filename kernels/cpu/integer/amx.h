// The ends of integer convolutions by tile registers (../amx.h).
// Only for units of an instruction set (per_isa.h).
#pragma once

#include "kernels/cpu/amx.h"
#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish.h"

namespace konv::KONV_ISA {
namespace {

/// A strip's part of the weights, and where its outputs go.
struct Strip {
  const std::uint8_t* weight;
  PackedChannels channels;  ///< of its first output
  Target target;
  std::int64_t out_block, residual_block;  ///< elements
  std::uint8_t* out;
  const std::uint8_t* residual;  ///< or null

  Strip(const IntegerConvArgs& args, std::int64_t steps, std::int64_t number)
      : channels(packed_channels(args.weight, args.shape.conv.out_channels)),
        target{args.output, args.shape.out == DType::float32},
        out_block(args.out.strides[1]),
        residual_block(args.residual.strides[1]) {
    const std::int64_t block = number * kStripBlocks;
    weight = static_cast<const std::uint8_t*>(channels.weight) + block * steps * kWeightTile;
    channels.start += block * kIntegerBlock, channels.multiplier += block * kIntegerBlock, channels.offset += block * kIntegerBlock;
    out = static_cast<std::uint8_t*>(args.out.data) + block * out_block * target.size();
    residual = args.residual.data ? static_cast<const std::uint8_t*>(args.residual.data) + block * residual_block : nullptr;
  }
};

#if defined(__AVX512BW__)
/// Bytes of no activation but bounds, of which the lower one is where bytes begin, so packing with saturation keeps to it.
template <int Blocks>
void finish_bytes(const Strip& s, const std::int32_t* sums, std::int64_t pixels, std::int64_t out, std::int64_t residual) {
  const Requantize& q = s.target.output;
  const __m512i zero = _mm512_set1_epi16(static_cast<short>(q.zero));
  const Vector high = broadcast(q.high), residual_multiplier = broadcast(q.residual_multiplier);
  const Ints residual_zero = Ints{} + q.residual_zero;
#pragma GCC unroll 2
  for (int b = 0; b < Blocks; ++b, sums += kIntegerBlock) {
    const Vector multiplier = load(s.channels.multiplier + b * kIntegerBlock), offset = load(s.channels.offset + b * kIntegerBlock);
    std::uint8_t* to = s.out + out + b * s.out_block;
    const std::uint8_t* add = s.residual ? s.residual + residual + b * s.residual_block : nullptr;
    for (std::int64_t p = 0; p < pixels; p += 4) {
      const std::int64_t last = pixels - 1 - p;  // sums behind the last pixel's may be read, residuals may not
      Ints outputs[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        Vector x = to_floats(load_ints(sums + (p + i) * Blocks * kIntegerBlock)) * multiplier;
        x = x + offset;
        if (add) x = x + to_floats(load_bytes(add + (p + smaller(i, last)) * kIntegerBlock) - residual_zero) * residual_multiplier;
        outputs[i] = nearest_even(high < x ? high : x);
      }
      const __m512i bytes = bytes_in_order(pack_pairs(outputs[0], outputs[1], zero), pack_pairs(outputs[2], outputs[3], zero));
      const auto written = static_cast<__mmask8>(last >= 3 ? 0xFF : (1 << 2 * (last + 1)) - 1);
      _mm512_mask_storeu_epi64(to + p * kIntegerBlock, written, bytes);
    }
  }
}
#endif

/// Outputs of `pixels` pixels that lie side by side, from their sums; `out` and `residual` in elements from the strip's.
template <int Blocks>
[[maybe_unused]] void finish(const Strip& s, const std::int32_t* sums, std::int64_t pixels, std::int64_t out, std::int64_t residual) {
#if defined(__AVX512BW__)
  const Requantize& q = s.target.output;
  if (!s.target.floats && q.activation.kind == ActivationKind::none && q.low == static_cast<float>(-q.zero))
    return finish_bytes<Blocks>(s, sums, pixels, out, residual);
#endif
  for (std::int64_t p = 0; p < pixels; ++p, sums += Blocks * kIntegerBlock) {
    for (int b = 0; b < Blocks; ++b) {
      const std::uint8_t* add = s.residual ? s.residual + residual + p * kIntegerBlock + b * s.residual_block : nullptr;
      finish_sums(s.target, load_ints(sums + b * kIntegerBlock), load(s.channels.multiplier + b * kIntegerBlock),
                  load(s.channels.offset + b * kIntegerBlock), add, s.out + (out + p * kIntegerBlock + b * s.out_block) * s.target.size());
    }
  }
}

}  // namespace
}  // namespace konv::KONV_ISA
