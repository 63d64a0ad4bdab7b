// Depthwise integer convolution on images in blocks of 16 channels: a vector is channels of one pixel, widened to 32 bits as it is loaded.
#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish.h"
#include "kernels/cpu/padding.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_depthwise_u8);

namespace KONV_ISA {
namespace {

inline constexpr int kVectors = kIntegerBlock / kLanes;

std::int64_t blocks(const ConvShape& s) { return ceil_div(s.out_channels, kIntegerBlock); }

PlaneTiles tiles(const ConvShape& s) {
  return tile_planes(s.batch * blocks(s), s.out_h(), s.out_w() * (s.kernel_h * s.kernel_w + 2) * kIntegerBlock, kChunkMacs / 2);
}

/// x and w fit 16 bits, so that a pair (w, 0) times (x, 0) is their product.
inline __attribute__((always_inline)) Ints multiply_add(Ints sum, Ints x, Ints w) {
#if defined(__AVX2__)
  return add_products(sum, (Pairs)x, (Pairs)w);
#else
  return sum + x * w;
#endif
}

/// As the multiplication wants it: the upper half of every lane zero (and ignored by plain multiplication in portable code, which wants the number itself).
std::int32_t weight_lane(std::int16_t w) {
#if defined(__AVX2__)
  return static_cast<std::uint16_t>(w);
#else
  return w;
#endif
}

/// Pixels computed together.
template <int N>
struct Pixels {
  static constexpr int value = N;
};
inline constexpr int kMostPixels = 4;

struct Walk {
  std::int64_t kernel_h, kernel_w, tap_row, tap_column;
};

template <int Count, int Step>
void tile(const Walk& walk, const std::uint8_t* in, const std::int32_t* weight, const PackedChannels& channels, const Target& target,
          std::uint8_t* out, const std::uint8_t* residual) {
  const Ints start = load_ints(channels.start);
  Ints sums[Count];
#pragma GCC unroll 8
  for (int p = 0; p < Count; ++p) sums[p] = start;
  const std::uint8_t* row = in;
  for (std::int64_t ky = 0; ky < walk.kernel_h; ++ky, row += walk.tap_row) {
    const std::uint8_t* tap = row;
    for (std::int64_t kx = 0; kx < walk.kernel_w; ++kx, tap += walk.tap_column, weight += kIntegerBlock) {
      const Ints w = load_ints(weight);
#pragma GCC unroll 8
      for (int p = 0; p < Count; ++p) sums[p] = multiply_add(sums[p], load_bytes(tap + p * Step * kIntegerBlock), w);
    }
  }
  const Vector multiplier = load(channels.multiplier), offset = load(channels.offset);
#pragma GCC unroll 8
  for (int p = 0; p < Count; ++p)
    finish_sums(target, sums[p], multiplier, offset, residual ? residual + p * kIntegerBlock : nullptr,
                out + p * kIntegerBlock * target.size());
}

template <int Step>
void run_rows(const IntegerConvArgs& args, std::int64_t n, std::int64_t block, Range rows) {
  const ConvShape& s = args.shape.conv;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  const Walk walk{s.kernel_h, s.kernel_w, s.dilation_h * in.strides[2], s.dilation_w * kIntegerBlock};
  PackedChannels channels = packed_channels(args.weight, s.out_channels);
  const auto* weights = static_cast<const std::int32_t*>(channels.weight) + block * s.kernel_h * s.kernel_w * kIntegerBlock;
  const std::int64_t first = block * kIntegerBlock, width = s.out_w();
  channels.start += first, channels.multiplier += first, channels.offset += first;
  const std::uint8_t* from = static_cast<const std::uint8_t*>(in.data) + n * in.strides[0] + block * in.strides[1] -
                             s.pad_top * in.strides[2] - s.pad_left * kIntegerBlock;
  const Target target{args.output, args.shape.out == DType::float32};
  const std::int64_t size = target.size();
  std::uint8_t* to = static_cast<std::uint8_t*>(out.data) + (n * out.strides[0] + block * out.strides[1]) * size;
  const std::uint8_t* add =
      residual.data ? static_cast<const std::uint8_t*>(residual.data) + n * residual.strides[0] + block * residual.strides[1] : nullptr;
  for (int v = 0; v < kVectors; ++v) {
    const PackedChannels lanes{channels.start + v * kLanes, channels.multiplier + v * kLanes, channels.offset + v * kLanes, nullptr};
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      const std::uint8_t* from_row = from + y * s.stride_h * in.strides[2] + v * kLanes;
      std::uint8_t* to_row = to + (y * out.strides[2] + v * kLanes) * size;
      const std::uint8_t* add_row = add ? add + y * residual.strides[2] + v * kLanes : nullptr;
      const auto at = [&](std::int64_t x, auto pixels) {
        tile<decltype(pixels)::value, Step>(walk, from_row + x * Step * kIntegerBlock, weights + v * kLanes, lanes, target,
                                            to_row + x * kIntegerBlock * size, add_row ? add_row + x * kIntegerBlock : nullptr);
      };
      std::int64_t x = 0;
      for (; x + kMostPixels <= width; x += kMostPixels) at(x, Pixels<kMostPixels>{});
      if (x < width && width >= kMostPixels) {
        at(width - kMostPixels, Pixels<kMostPixels>{});
      } else {
        for (; x < width; ++x) at(x, Pixels<1>{});
      }
    }
  }
}

std::int64_t chunks(const IntegerConvShape& s) { return tiles(s.conv).count(); }
std::size_t workspace(const IntegerConvShape&) { return 0; }

void run(const IntegerConvArgs& args, std::int64_t chunk, void*) {
  const ConvShape& s = args.shape.conv;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * blocks(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h(), t.rows_per_chunk, chunk % t.row_chunks);
  const auto run_plane = s.stride_w == 2 ? &run_rows<2> : &run_rows<1>;
  for (std::int64_t p = planes.begin; p < planes.end; ++p) run_plane(args, p / blocks(s), p % blocks(s), rows);
}

std::size_t packed_bytes(const IntegerConvShape& s) {
  return packed_channel_bytes(s.conv.out_channels) +
         static_cast<std::size_t>(blocks(s.conv) * s.conv.kernel_h * s.conv.kernel_w * kIntegerBlock) * sizeof(std::int32_t);
}

/// [block][tap][16]
void pack(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  pack_channels(s, weights, packed);
  auto* to = static_cast<std::int32_t*>(packed_channels(packed, s.out_channels).weight);
  const std::int64_t taps = s.kernel_h * s.kernel_w;
  for (std::int64_t first = 0; first < s.out_channels; first += kIntegerBlock) {
    for (std::int64_t t = 0; t < taps; ++t) {
      for (std::int64_t c = first; c < first + kIntegerBlock; ++c)
        *to++ = c < s.out_channels ? weight_lane(weights.weight[c * taps + t]) : 0;
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const IntegerConvCode KONV_ISA_CODE(conv_depthwise_u8) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run},
                                                          kIntegerBlock,
                                                          kIntegerBlock,
                                                          padding_halo,
                                                          KONV_ISA::packed_bytes,
                                                          KONV_ISA::pack};

}  // namespace konv
