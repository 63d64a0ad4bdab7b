// 2-D convolution of integers on the CPU: unsigned 8-bit (or signed 16-bit) inputs, signed weights, exact sums, then requantize.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/base/conv_shape.h"
#include "kernels/base/layout.h"
#include "kernels/base/tensor_view.h"
#include "kernels/cpu/integer/requantize.h"
#include "kernels/cpu/kernel.h"

namespace konv {

/// Channels of integer images that lie together, on every instruction set; a network's first layer reads blocks of 4.
inline constexpr int kIntegerBlock = 16, kFirstBlock = 4;

/// Products of 16-bit inputs with either byte of a weight that 32 bits hold the sum of.
inline constexpr std::int64_t kMostTapsS16 = 256;

struct IntegerConvShape {
  ConvShape conv;
  DType in = DType::uint8;   ///< uint8 or int16
  DType out = DType::uint8;  ///< uint8, int16 or float32
  int weight_bits = 8;       ///< 2, 4, 8 or 16: |w| <= 2^(weight_bits - 1)
  std::int64_t kept_quads =
      -1;  ///< quads of input channels and taps that some output reads (reads_quad), of all there are; -1: not counted
};

/// A convolution's weights as a model holds them, and the scales that turn sums into outputs.
struct IntegerWeights {
  const std::int16_t* weight = nullptr;  ///< [Cout, Cin/groups, KH, KW], whatever the width
  const float* multiplier = nullptr;     ///< [Cout]: of requantize.h
  const float* offset = nullptr;         ///< [Cout]
  std::int32_t in_zero = 0;              ///< what stands for 0 in the input
};

struct IntegerConvArgs {
  IntegerConvShape shape;
  TensorView in, out;   ///< [N, Cin, H, W], [N, Cout, OH, OW]; lanes behind the last channel may hold anything
  const void* weight;   ///< as IntegerConvCode::pack left it
  TensorView residual;  ///< laid out like out, of type uint8 or int16; data is null when there is none
  Requantize output;
};

struct IntegerConvCode : Code<IntegerConvShape, IntegerConvArgs> {
  int in_block, out_block;         ///< of input, and of output and residual; 1: plain
  Halo (*halo)(const ConvShape&);  ///< what it reads around the image, filled with in_zero; null: it tests for edges
  std::size_t (*packed_bytes)(const IntegerConvShape&);
  void (*pack)(const IntegerConvShape&, const IntegerWeights&, void* packed);
  /// The same numbers in the chunks that suit one thread, and two; null functions: as for several.
  Code<IntegerConvShape, IntegerConvArgs> alone = {}, pair = {};
};

using IntegerConvKernel = Kernel<IntegerConvShape, IntegerConvCode>;

/// The whole list in order of preference between equals; the portable reference comes last and takes every shape.
std::span<const IntegerConvKernel> integer_conv_kernels();

/// The packing begins with one entry per output channel, rounded up to whole blocks of kIntegerBlock, zeros behind the last one.
struct PackedChannels {
  std::int32_t* start;  ///< the sum's first term: -in_zero times the sum of the channel's weights
  float *multiplier, *offset;
  void* weight;  ///< 64-byte aligned where the packing is
};

static inline std::int64_t packed_outputs(std::int64_t channels) { return round_up(channels, kIntegerBlock); }
static inline std::size_t packed_channel_bytes(std::int64_t channels) { return static_cast<std::size_t>(3 * 4 * packed_outputs(channels)); }

static inline PackedChannels packed_channels(const void* packed, std::int64_t channels) {
  const std::int64_t n = packed_outputs(channels);
  char* bytes = static_cast<char*>(const_cast<void*>(packed));  // kernels only read; pack() writes what it was handed
  return {reinterpret_cast<std::int32_t*>(bytes), reinterpret_cast<float*>(bytes + 4 * n), reinterpret_cast<float*>(bytes + 8 * n),
          bytes + 12 * n};
}

/// Whether some output channel has a weight other than 0 for quad `quad`: four input channels of one tap, counted as [input block][tap][quad of the block].
static inline bool reads_quad(const ConvShape& s, const std::int16_t* weight, std::int64_t quad) {
  const std::int64_t taps = s.kernel_h * s.kernel_w, per_tap = kIntegerBlock / 4, tap = quad / per_tap % taps;
  const std::int64_t first = quad / (taps * per_tap) * kIntegerBlock + quad % per_tap * 4;
  for (std::int64_t o = 0; o < s.out_channels; ++o) {
    for (std::int64_t c = first; c < first + 4 && c < s.in_channels; ++c) {
      if (weight[(o * s.in_channels + c) * taps + tap] != 0) return true;
    }
  }
  return false;
}

/// Of an ungrouped convolution.
static inline std::int64_t count_quads(const ConvShape& s, const std::int16_t* weight) {
  std::int64_t count = 0;
  const std::int64_t all = ceil_div(s.in_channels, kIntegerBlock) * s.kernel_h * s.kernel_w * (kIntegerBlock / 4);
  for (std::int64_t quad = 0; quad < all; ++quad) count += reads_quad(s, weight, quad);
  return count;
}

/// Writes the entries of all channels.
static inline void pack_channels(const ConvShape& s, const IntegerWeights& w, void* packed) {
  const PackedChannels to = packed_channels(packed, s.out_channels);
  const std::int64_t k = s.k();
  for (std::int64_t o = 0; o < packed_outputs(s.out_channels); ++o) {
    const bool exists = o < s.out_channels;
    std::int64_t sum = 0;
    for (std::int64_t i = 0; exists && i < k; ++i) sum += w.weight[o * k + i];
    to.start[o] = static_cast<std::int32_t>(-w.in_zero * sum);
    to.multiplier[o] = exists ? w.multiplier[o] : 0.0f;
    to.offset[o] = exists ? w.offset[o] : 0.0f;
  }
}

}  // namespace konv
