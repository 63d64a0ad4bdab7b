// How convolutions as products over panels of weights (igemm.h, ../integer/conv_igemm_vnni.isa.h) are cut: output channels into strips of a few blocks, the sum into
// panels of a strip's weights that stay in the first cache while all pixels of a chunk pass by, pixels of all images into chunks.
// Only for units of an instruction set (per_isa.h): everything is in an unnamed namespace.
#pragma once

#include <cstdint>

#include "kernels/base/conv_shape.h"
#include "kernels/base/tensor_view.h"
#include "kernels/cpu/conv/taps.h"
#include "kernels/cpu/kernel.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv::KONV_ISA {
namespace {

/// Bytes of a panel's weights.
inline constexpr std::int64_t kPanelBytes = 24 * 1024;
/// Pixels of a chunk, at most: what they read and the sums that wait stay in the second cache.
inline constexpr std::int64_t kChunkPixels = 204;
/// Chunks that several threads should find; only fewer pixels than kLeastPixels do not pay for a pass of the weights.
inline constexpr std::int64_t kEnoughChunks = 8, kLeastPixels = 30;
/// Pixels of a tile: a chunk holds whole ones.
inline constexpr std::int64_t kTilePixels = 6;

struct PanelOptions {
  int block;                ///< channels of one, in and out
  int strip_blocks;         ///< output blocks of a strip, at most
  std::int64_t chunk_macs;  ///< that a chunk of several strips should have
  bool alone;               ///< for a thread that works alone
};

struct PanelTiles {
  std::int64_t out_blocks, strips;                      ///< of a group
  std::int64_t entries;                                 ///< one block of input channels at one tap each
  std::int64_t pixels, pixels_per_chunk, pixel_chunks;  ///< of the whole batch
  std::int64_t strips_per_chunk, strip_chunks;

  /// A strip's output blocks: as even as can be.
  Range strip_blocks(std::int64_t strip) const { return {strip * out_blocks / strips, (strip + 1) * out_blocks / strips}; }

  std::int64_t chunks(std::int64_t groups) const { return groups * strip_chunks * pixel_chunks; }
  Range chunk_pixels(std::int64_t chunk) const { return piece(pixels, pixels_per_chunk, chunk % pixel_chunks); }
  Range chunk_strips(std::int64_t chunk) const { return piece(strips, strips_per_chunk, chunk / pixel_chunks % strip_chunks); }
  std::int64_t chunk_group(std::int64_t chunk) const { return chunk / pixel_chunks / strip_chunks; }
};

[[maybe_unused]] PanelTiles panel_tiles(const ConvShape& s, const PanelOptions& o) {
  PanelTiles t;
  t.out_blocks = ceil_div(s.group_out(), o.block);
  t.strips = ceil_div(t.out_blocks, o.strip_blocks);
  if (t.strips > 1 && s.groups * t.strips % 2 && t.strips < t.out_blocks) ++t.strips;  // halves for two threads
  t.entries = ceil_div(s.group_in(), o.block) * s.kernel_h * s.kernel_w;
  t.pixels = s.batch * s.out_pixels();
  std::int64_t parts = ceil_div(t.pixels, kChunkPixels);
  if (!o.alone && s.groups * t.strips * parts < kEnoughChunks) {
    parts = clamped(t.pixels / kLeastPixels, parts, ceil_div(kEnoughChunks, s.groups * t.strips));
  }
  t.pixels_per_chunk = round_up(ceil_div(t.pixels, parts), kTilePixels);
  t.pixel_chunks = ceil_div(t.pixels, t.pixels_per_chunk);
  const std::int64_t strip_macs = t.pixels_per_chunk * t.entries * o.block * o.strip_blocks * o.block;
  const std::int64_t at_once = larger(1, s.groups * t.strips * t.pixel_chunks / kEnoughChunks);  // strips that leave enough chunks
  t.strips_per_chunk = o.alone ? t.strips : clamped(o.chunk_macs / strip_macs, 1, smaller(at_once, t.strips));
  t.strip_chunks = ceil_div(t.strips, t.strips_per_chunk);
  return t;
}

/// Where an output pixel reads and writes, in elements from the first image of a group and strip (or from wherever a kernel has put its inputs).
struct Place {
  std::int64_t in, out, residual;
};

/// The places of pixels [range.begin, range.end), counted along the rows, down, then through the images.
void set_places(const ConvShape& s, const TensorView& in, const TensorView& out, const TensorView& residual, Range range, Place* places) {
  std::int64_t n = range.begin / s.out_pixels(), y = range.begin % s.out_pixels() / s.out_w(), x = range.begin % s.out_w();
  for (std::int64_t i = 0; i < range.size(); ++i) {
    places[i].in = n * in.strides[0] + (y * s.stride_h - s.pad_top) * in.strides[2] + (x * s.stride_w - s.pad_left) * in.strides[3];
    places[i].out = n * out.strides[0] + y * out.strides[2] + x * out.strides[3];
    places[i].residual = residual.data ? n * residual.strides[0] + y * residual.strides[2] + x * residual.strides[3] : 0;
    if (++x == s.out_w()) {
      x = 0;
      if (++y == s.out_h()) y = 0, ++n;
    }
  }
}

/// The distances of all entries from a pixel's first input, and a 0 behind them, which is where nothing is fetched ahead from.
void set_offsets(const ConvShape& s, const TensorView& in, int block, std::int64_t* offsets) {
  for (std::int64_t b = 0; b < ceil_div(s.group_in(), block); ++b) offsets = set_taps(s, in, b * in.strides[1], offsets);
  *offsets = 0;
}

/// Cuts pieces off a workspace, or counts their bytes where there is none.
struct Cutter {
  char* base;
  std::int64_t used = 0;

  template <class T>
  T* cut(std::int64_t count) {
    T* piece = base ? reinterpret_cast<T*>(base + used) : nullptr;
    used += round_up(count * static_cast<std::int64_t>(sizeof(T)), 64);
    return piece;
  }
};

/// Bytes of the workspace that divide(t, cutter) cuts.
template <class Tiles, class Workspace>
std::size_t workspace_bytes(const Tiles& t, Workspace (*divide)(const Tiles&, Cutter&)) {
  Cutter cutter{nullptr};
  divide(t, cutter);
  return static_cast<std::size_t>(cutter.used);
}

}  // namespace
}  // namespace konv::KONV_ISA
