// Integer convolutions by tile registers (Intel AMX), what both kinds share: a product of 16 pixels by 64 inputs by 16 outputs is one instruction, and two
// tiles of pixels by two blocks of outputs share what they load (Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX).
//   A [pixel][64 inputs]                        rows of bytes, wherever they lie
//   B [strip][step][output block][quad][16 outputs][4]   packed weights; a step is 64 inputs
//   C [pixel][output of the strip]              sums of two tiles of pixels, on their way to requantize.h
// Only for units of an instruction set (per_isa.h).
#pragma once

#include <immintrin.h>

#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish.h"
#include "kernels/cpu/tiling.h"

namespace konv::KONV_ISA {
namespace {

inline constexpr std::int64_t kRows = 16, kRowBytes = 64;       ///< of a tile register, at most
inline constexpr std::int64_t kStripBlocks = 2;                 ///< output blocks of a strip, at most
inline constexpr std::int64_t kWeightTile = kRows * kRowBytes;  ///< bytes
inline constexpr std::int64_t kStripSums = 2 * kRows * kStripBlocks * kIntegerBlock;
inline constexpr std::int64_t kEnoughAmxChunks = 8;  ///< that several threads should find

/// What LDTILECFG reads: tiles 0 to 3 are sums, 4 and 5 pixels, 6 and 7 weights.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  explicit TileConfig(std::int64_t pixel_rows) {
    for (int i = 0; i < 8; ++i) {
      row_bytes[i] = kRowBytes;
      rows[i] = static_cast<std::uint8_t>(i < 6 ? pixel_rows : kRows);
    }
  }
};
static_assert(sizeof(TileConfig) == 64);

/// The compiler does not know what tile instructions read and write.
inline __attribute__((always_inline)) void memory_is_used() { asm volatile("" ::: "memory"); }

/// Tile registers in the shape of TileConfig for as long as this lives.
class UsingTiles {
 public:
  explicit UsingTiles(std::int64_t pixel_rows) {
    const TileConfig config(pixel_rows);
    memory_is_used();
    _tile_loadconfig(&config);
  }
  UsingTiles(const UsingTiles&) = delete;
  UsingTiles& operator=(const UsingTiles&) = delete;
  ~UsingTiles() { _tile_release(); }
};

/// Two tiles of pixels: where the first input of their first pixels lies, and the distances of pixels and of steps.
struct PixelTiles {
  const std::uint8_t *first, *second;
  std::int64_t row;           ///< bytes from pixel to pixel
  const std::int64_t* steps;  ///< bytes from the first input to each step
};

/// Their sums for a strip of Blocks output blocks. `ahead` lines of weights per step, from `far` on, are fetched to the second cache.
template <int Blocks>
[[maybe_unused]] void multiply(std::int64_t steps, const PixelTiles& a, const std::uint8_t* b, const std::int32_t* start, std::int64_t rows,
                               std::int32_t* c, const std::uint8_t* far, std::int64_t ahead) {
  constexpr std::int64_t c_row = Blocks * kIntegerBlock * 4;
  memory_is_used();
  _tile_loadd(0, start, 0);  // the same for all rows
  _tile_loadd(2, start, 0);
  if constexpr (Blocks > 1) {
    _tile_loadd(1, start + kIntegerBlock, 0);
    _tile_loadd(3, start + kIntegerBlock, 0);
  }
  for (std::int64_t step = 0; step < steps; ++step, b += Blocks * kWeightTile) {
    const std::int64_t offset = a.steps[step];
    for (std::int64_t i = 0; i < ahead; ++i, far += 64) __builtin_prefetch(far, 0, 2);
    _tile_loadd(6, b, kRowBytes);
    _tile_loadd(4, a.first + offset, a.row);
    _tile_dpbusd(0, 4, 6);
    if constexpr (Blocks > 1) {
      _tile_loadd(7, b + kWeightTile, kRowBytes);
      _tile_dpbusd(1, 4, 7);
    }
    _tile_loadd(5, a.second + offset, a.row);
    _tile_dpbusd(2, 5, 6);
    if constexpr (Blocks > 1) _tile_dpbusd(3, 5, 7);
  }
  std::int32_t* below = c + rows * Blocks * kIntegerBlock;
  _tile_stored(0, c, c_row);
  _tile_stored(2, below, c_row);
  if constexpr (Blocks > 1) {
    _tile_stored(1, c + kIntegerBlock, c_row);
    _tile_stored(3, below + kIntegerBlock, c_row);
  }
  memory_is_used();
}

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

/// Outputs of `pixels` pixels that lie side by side, from their sums; `out` and `residual` in elements from the strip's.
template <int Blocks>
[[maybe_unused]] void finish(const Strip& s, const std::int32_t* sums, std::int64_t pixels, std::int64_t out, std::int64_t residual) {
  const Requantize& q = s.target.output;
  constexpr std::int64_t kPixelSums = Blocks * kIntegerBlock;
  if (s.target.floats || q.activation.kind != ActivationKind::none || q.low != static_cast<float>(-q.zero)) {
    for (std::int64_t p = 0; p < pixels; ++p, sums += kPixelSums) {
      for (int b = 0; b < Blocks; ++b) {
        const std::uint8_t* add = s.residual ? s.residual + residual + p * kIntegerBlock + b * s.residual_block : nullptr;
        finish_sums(s.target, load_ints(sums + b * kIntegerBlock), load(s.channels.multiplier + b * kIntegerBlock),
                    load(s.channels.offset + b * kIntegerBlock), add,
                    s.out + (out + p * kIntegerBlock + b * s.out_block) * s.target.size());
      }
    }
    return;
  }
  // The lower bound is where bytes begin, so packing with saturation keeps to it.
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
        Vector x = to_floats(load_ints(sums + (p + i) * kPixelSums)) * multiplier;
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

/// Lines of the next strip's weights to fetch per step, so that `pairs` pairs of tiles fetch all.
template <int Blocks>
std::int64_t lines_ahead(std::int64_t pairs) {
  return ceil_div(Blocks * kRows, pairs);
}

/// B from weight_at(output, step, input of the step).
template <class WeightAt>
void pack_strips(std::int64_t out_blocks, std::int64_t steps, void* weight, const WeightAt& weight_at) {
  auto* to = static_cast<std::int8_t*>(weight);
  for (std::int64_t first = 0; first < out_blocks; first += kStripBlocks) {
    for (std::int64_t step = 0; step < steps; ++step) {
      for (std::int64_t o = first * kIntegerBlock; o < smaller(out_blocks, first + kStripBlocks) * kIntegerBlock; o += kIntegerBlock) {
        for (std::int64_t i = 0; i < kWeightTile; ++i) {
          *to++ = static_cast<std::int8_t>(weight_at(o + i % kRowBytes / 4, step, i / kRowBytes * 4 + i % 4));
        }
      }
    }
  }
}

}  // namespace
}  // namespace konv::KONV_ISA
