// Convolutions by tile registers (Intel AMX): a product of 16 pixels by 64 bytes of inputs by 16 outputs is one instruction, and two tiles of pixels by two
// blocks of outputs share what they load (Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX).
//   A [pixel][64 bytes of inputs]                        rows, wherever they lie
//   B [strip][step][output block][4 bytes of inputs][16 outputs]   packed weights; a step is 64 bytes of inputs
//   C [pixel][output of the strip]                       sums of two tiles of pixels, on their way to an epilogue
// Only for units of an instruction set (per_isa.h).
#pragma once

#if defined(__AMX_TILE__)
#include <immintrin.h>
#else  // Other processors compile these units, so that a plan for this one can be made there, and never run them.
#define _tile_loadconfig(config)              static_cast<void>(config)
#define _tile_release()                       static_cast<void>(0)
#define _tile_zero(tile)                      static_cast<void>(0)
#define _tile_loadd(tile, from, distance)     (static_cast<void>(from), static_cast<void>(distance))
#define _tile_stored(tile, to, distance)      (static_cast<void>(to), static_cast<void>(distance))
#define _tile_dpbusd(sums, pixels, weights)   static_cast<void>(0)
#define _tile_dpbf16ps(sums, pixels, weights) static_cast<void>(0)
#endif

#include <cstdint>
#include <type_traits>

#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv::KONV_ISA {
namespace {

inline constexpr std::int64_t kRows = 16, kRowBytes = 64;       ///< of a tile register, at most
inline constexpr std::int64_t kTileOutputs = 16;                ///< a block of output channels
inline constexpr std::int64_t kStripBlocks = 2;                 ///< output blocks of a strip, at most
inline constexpr std::int64_t kWeightTile = kRows * kRowBytes;  ///< bytes
inline constexpr std::int64_t kStripSums = 2 * kRows * kStripBlocks * kTileOutputs;
inline constexpr std::int64_t kEnoughAmxChunks = 8;  ///< that several threads should find

/// What LDTILECFG reads: tiles 0 to 3 are sums, those that follow pixels, the last `weight_tiles` weights.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  TileConfig(std::int64_t pixel_rows, int weight_tiles) {
    for (int i = 0; i < 8; ++i) {
      row_bytes[i] = kRowBytes;
      rows[i] = static_cast<std::uint8_t>(i < 8 - weight_tiles ? pixel_rows : kRows);
    }
  }
};
static_assert(sizeof(TileConfig) == 64);

/// The compiler does not know what tile instructions read and write.
inline __attribute__((always_inline)) void memory_is_used() { asm volatile("" ::: "memory"); }

/// Tile registers in the shape of TileConfig for as long as this lives.
class UsingTiles {
 public:
  explicit UsingTiles(std::int64_t pixel_rows, int weight_tiles = 2) {
    const TileConfig config(pixel_rows, weight_tiles);
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

/// What is multiplied: unsigned by signed bytes, sums of 32 bits; or numbers of bfloat16, sums of float32 (subnormal ones count as zero).
struct BytesInTiles {
  using Sum = std::int32_t;
  using Factor = std::int8_t;
};
struct HalvesInTiles {
  using Sum = float;
  using Factor = std::uint16_t;
};

/// Tile registers are named by constants.
#define KONV_TILE_PRODUCT(sums, pixels, weights) \
  if constexpr (bytes) {                         \
    _tile_dpbusd(sums, pixels, weights);         \
  } else {                                       \
    _tile_dpbf16ps(sums, pixels, weights);       \
  }

/// Their sums for a strip of Blocks output blocks. `ahead` lines of weights per step, from `far` on, are fetched to the second cache.
template <class Kind, int Blocks>
[[maybe_unused]] void multiply(std::int64_t steps, const PixelTiles& a, const std::uint8_t* b, const typename Kind::Sum* start,
                               std::int64_t rows, typename Kind::Sum* c, const std::uint8_t* far, std::int64_t ahead) {
  constexpr bool bytes = std::is_same_v<Kind, BytesInTiles>;
  constexpr std::int64_t c_row = Blocks * kTileOutputs * 4;
  memory_is_used();
  _tile_loadd(0, start, 0);  // the same for all rows
  _tile_loadd(2, start, 0);
  if constexpr (Blocks > 1) {
    _tile_loadd(1, start + kTileOutputs, 0);
    _tile_loadd(3, start + kTileOutputs, 0);
  }
  for (std::int64_t step = 0; step < steps; ++step, b += Blocks * kWeightTile) {
    const std::int64_t offset = a.steps[step];
    for (std::int64_t i = 0; i < ahead; ++i, far += 64) __builtin_prefetch(far, 0, 2);
    _tile_loadd(6, b, kRowBytes);
    _tile_loadd(4, a.first + offset, a.row);
    KONV_TILE_PRODUCT(0, 4, 6);
    if constexpr (Blocks > 1) {
      _tile_loadd(7, b + kWeightTile, kRowBytes);
      KONV_TILE_PRODUCT(1, 4, 7);
    }
    _tile_loadd(5, a.second + offset, a.row);
    KONV_TILE_PRODUCT(2, 5, 6);
    if constexpr (Blocks > 1) {
      KONV_TILE_PRODUCT(3, 5, 7);
    }
  }
  typename Kind::Sum* below = c + rows * Blocks * kTileOutputs;
  _tile_stored(0, c, c_row);
  _tile_stored(2, below, c_row);
  if constexpr (Blocks > 1) {
    _tile_stored(1, c + kTileOutputs, c_row);
    _tile_stored(3, below + kTileOutputs, c_row);
  }
  memory_is_used();
}

#undef KONV_TILE_PRODUCT

/// Lines of the next strip's weights to fetch per step, so that `pairs` pairs of tiles fetch all.
template <int Blocks>
std::int64_t lines_ahead(std::int64_t pairs) {
  return ceil_div(Blocks * kRows, pairs);
}

/// Calls run.operator()<Blocks>(strip) for all strips of `strips`.
template <class Run>
void each_strip(Range strips, std::int64_t out_blocks, const Run& run) {
  for (std::int64_t strip = strips.begin; strip < strips.end; ++strip) {
    if ((strip + 1) * kStripBlocks <= out_blocks) {
      run.template operator()<2>(strip);
    } else {
      run.template operator()<1>(strip);
    }
  }
}

/// B from weight_at(output, step, input of the step).
template <class Kind, class WeightAt>
void pack_strips(std::int64_t out_blocks, std::int64_t steps, void* weight, const WeightAt& weight_at) {
  using Factor = typename Kind::Factor;
  constexpr std::int64_t size = sizeof(Factor), together = 4 / size;
  auto* to = static_cast<Factor*>(weight);
  for (std::int64_t first = 0; first < out_blocks; first += kStripBlocks) {
    for (std::int64_t step = 0; step < steps; ++step) {
      for (std::int64_t o = first * kTileOutputs; o < smaller(out_blocks, first + kStripBlocks) * kTileOutputs; o += kTileOutputs) {
        for (std::int64_t i = 0; i < kWeightTile / size; ++i) {
          *to++ =
              static_cast<Factor>(weight_at(o + i % (kRowBytes / size) / together, step, i / (kRowBytes / size) * together + i % together));
        }
      }
    }
  }
}

/// How a convolution whose inputs are gathered is cut: pixels of all images into chunks, output channels into strips, strips into parts where there are few
/// pixels.
struct GatheredTiles {
  std::int64_t out_blocks, strips, steps;
  std::int64_t pixels, pixels_per_chunk, pixel_chunks;
  std::int64_t strips_per_chunk, strip_chunks;

  Range chunk_pixels(std::int64_t chunk) const { return piece(pixels, pixels_per_chunk, chunk % pixel_chunks); }
  Range chunk_strips(std::int64_t chunk) const { return piece(strips, strips_per_chunk, chunk / pixel_chunks); }
  std::int64_t chunks() const { return pixel_chunks * strip_chunks; }
};

[[maybe_unused]] GatheredTiles gathered_tiles(std::int64_t pixels, std::int64_t steps, std::int64_t out_channels, bool alone) {
  constexpr std::int64_t gathered_bytes = 384 << 10, most_pixels = 256;  // of a chunk: they stay in the second cache
  GatheredTiles t;
  t.out_blocks = ceil_div(out_channels, kTileOutputs);
  t.strips = ceil_div(t.out_blocks, kStripBlocks);
  t.steps = steps;
  t.pixels = pixels;
  std::int64_t parts = ceil_div(pixels, clamped(gathered_bytes / (steps * kRowBytes), 2 * kRows, most_pixels));
  // A chunk of several threads has at least two pairs of tiles, and gathers its pixels for four strips or more.
  if (!alone && parts < kEnoughAmxChunks) parts = clamped(pixels / (4 * kRows), parts, kEnoughAmxChunks);
  t.pixels_per_chunk = ceil_div(pixels, parts);
  t.pixel_chunks = ceil_div(pixels, t.pixels_per_chunk);
  t.strips_per_chunk = alone ? t.strips : ceil_div(t.strips, clamped(kEnoughAmxChunks / t.pixel_chunks, 1, larger(1, t.strips / 4)));
  t.strip_chunks = ceil_div(t.strips, t.strips_per_chunk);
  return t;
}

/// Rows of the tile registers that hold pixels and sums: a chunk's pixels in pairs of tiles, as even as can be.
[[maybe_unused]] std::int64_t tile_rows(std::int64_t pixels) { return ceil_div(pixels, 2 * ceil_div(pixels, 2 * kRows)); }

/// A strip of a chunk whose inputs are gathered as [step][pixel][kRowBytes]; `sums` has room for kStripSums twice. The next two tiles are multiplied while
/// finish(sums, first pixel, pixels) is done with the two before.
template <class Kind, int Blocks, class Finish>
void multiply_gathered(const GatheredTiles& t, std::int64_t pixels, const std::uint8_t* gathered, const std::int64_t* steps,
                       const std::uint8_t* weight, const typename Kind::Sum* start, typename Kind::Sum* sums, const Finish& finish) {
  const std::int64_t rows = tile_rows(pixels), pairs = ceil_div(pixels, 2 * rows), ahead = lines_ahead<Blocks>(pairs);
  const std::uint8_t* far = weight + Blocks * t.steps * kWeightTile;
  typename Kind::Sum* done = sums + kStripSums;
  for (std::int64_t pair = 0; pair < pairs; ++pair, far += t.steps * ahead * 64) {
    const std::uint8_t* first = gathered + pair * 2 * rows * kRowBytes;
    multiply<Kind, Blocks>(t.steps, {first, first + rows * kRowBytes, kRowBytes, steps}, weight, start, rows, sums, far, ahead);
    if (pair > 0) finish(done, (pair - 1) * 2 * rows, 2 * rows);
    typename Kind::Sum* const newest = sums;
    sums = done, done = newest;
  }
  const std::int64_t last = (pairs - 1) * 2 * rows;
  finish(done, last, pixels - last);
}

}  // namespace
}  // namespace konv::KONV_ISA
