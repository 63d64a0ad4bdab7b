// How a convolution that is computed as matrix products is cut into chunks: a chunk is a tile of output pixels (of one image, or of several
// whole images where an image has few) times the output channels of one group, or some of them where there would be too few chunks.
#pragma once

#include <cstdint>

#include "kernels/base/conv_shape.h"
#include "kernels/cpu/tiling.h"

namespace konv {

struct GemmTiles {
  std::int64_t images, pixels, rows;  ///< of one chunk, at most; rows are output channels
  std::int64_t image_tiles, pixel_tiles, row_tiles;

  std::int64_t columns() const { return images * pixels; }
};

struct GemmTile {
  Range images, pixels, rows;
  std::int64_t group;
};

/// Rows are cut at multiples of `row_step`.
static inline GemmTiles gemm_tiles(const ConvShape& s, std::int64_t row_step) {
  constexpr std::int64_t column_floats = 64 << 10;  // 256 KiB of columns stay in L2
  const std::int64_t k = larger(1, s.k()), m = larger(1, s.group_out()), pixels = larger(1, s.out_pixels());
  const std::int64_t wanted = clamped(4 * kChunkMacs / (m * k), 128, 1024);
  std::int64_t columns = larger(64, smaller(column_floats / k, wanted) / 32 * 32);
  if (s.macs() > 2 * kChunkMacs) columns = smaller(columns, larger(32, (s.batch * pixels / 8 + 31) / 32 * 32));
  GemmTiles t{1, pixels, m, 0, 1, 1};
  if (pixels >= columns) {
    const std::int64_t tiles = (pixels + columns - 1) / columns;
    t.pixels = ((pixels + tiles - 1) / tiles + 31) / 32 * 32;
    t.pixel_tiles = (pixels + t.pixels - 1) / t.pixels;
  } else {
    t.images = clamped(columns / pixels, 1, larger(1, s.batch));
  }
  t.image_tiles = (s.batch + t.images - 1) / t.images;
  const std::int64_t chunks = t.image_tiles * t.pixel_tiles * s.groups;
  if (chunks < 8 && s.macs() > 2 * kChunkMacs) {  // each part gathers the columns again, so not too many
    const std::int64_t parts = clamped(8 / larger(1, chunks), 1, larger(1, m / 32));
    t.rows = ((m + parts - 1) / parts + row_step - 1) / row_step * row_step;
    t.row_tiles = (m + t.rows - 1) / t.rows;
  }
  return t;
}

static inline std::int64_t gemm_chunks(const ConvShape& s, const GemmTiles& t) {
  return t.image_tiles * t.pixel_tiles * t.row_tiles * s.groups;
}

static inline GemmTile gemm_tile(const ConvShape& s, const GemmTiles& t, std::int64_t chunk) {
  GemmTile tile;
  tile.rows = piece(s.group_out(), t.rows, chunk % t.row_tiles);
  chunk /= t.row_tiles;
  tile.pixels = piece(s.out_pixels(), t.pixels, chunk % t.pixel_tiles);
  chunk /= t.pixel_tiles;
  tile.group = chunk % s.groups;
  tile.images = piece(s.batch, t.images, chunk / s.groups);
  return tile;
}

/// A tap's row of the column matrix for output pixels [begin, end) of one image, in runs that come from one input row:
/// copy(column, input row, first input column, count), input columns stride_w apart; zeros(column, count) in the padding.
template <class Copy, class Zeros>
static inline void for_tap_runs(const ConvShape& s, std::int64_t ky, std::int64_t kx, Range pixels, const Copy& copy, const Zeros& zeros) {
  const std::int64_t width = s.out_w(), step = s.stride_w;
  const std::int64_t shift = kx * s.dilation_w - s.pad_left;  // input column of output column 0
  // Output columns [first, last) read inside the image.
  const std::int64_t first = clamped(shift >= 0 ? 0 : (-shift + step - 1) / step, 0, width);
  const std::int64_t last = clamped(s.in_w - shift <= 0 ? 0 : (s.in_w - shift + step - 1) / step, first, width);
  std::int64_t y = pixels.begin / width, x = pixels.begin % width;
  for (std::int64_t at = 0; at < pixels.size(); ++y, x = 0) {
    const std::int64_t end = smaller(width, x + pixels.size() - at);
    const std::int64_t row = y * s.stride_h - s.pad_top + ky * s.dilation_h;
    const std::int64_t a = row < 0 || row >= s.in_h ? end : clamped(first, x, end);
    const std::int64_t b = larger(a, smaller(last, end));
    if (a > x) zeros(at, a - x);
    if (b > a) copy(at + a - x, row, a * step + shift, b - a);
    if (end > b) zeros(at + b - x, end - b);
    at += end - x;
  }
}

}  // namespace konv
