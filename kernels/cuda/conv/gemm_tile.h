// Implicit GEMM: the matrix of windows is never written, its tiles are gathered from the image by cp.async.
//
//   rows     output pixels, all images together       columns  output channels
//   K        groups of 32 bytes of channels at one tap (KGroup); a step of the loop takes two. What is pruned is not in the list.
//   stages   tiles on their way while one is multiplied; a row of a tile is 64 bytes, its chunks c lie at c ^ (row >> 1 & 3), which keeps both copies and
//            8 neighbouring rows of a fragment free of bank conflicts
#pragma once

#include "kernels/cuda/conv/tile_store.h"
#include "kernels/cuda/conv/window.h"

namespace konv::cuda {

inline constexpr int kGemmThreads = 128;
inline constexpr int kGemmStages = 4;
inline constexpr int kRowBytes = 64;

/// Shared memory of a tile of `rows` pixels and `columns` channels: the stages, and afterwards the sums.
constexpr int gemm_shared_bytes(int rows, int columns) {
  return kGemmStages * (rows + columns) * kRowBytes > rows * columns * 4 ? kGemmStages * (rows + columns) * kRowBytes : rows * columns * 4;
}

KONV_DEVICE int tile_offset(int row, int chunk) { return row * kRowBytes + ((chunk ^ (row >> 1 & 3)) * 16); }

/// What a thread copies: one chunk of every 32nd row of either operand.
template <class T, int rows, int columns>
struct GemmLoader {
  const ConvGemmParams& p;
  int chunk, row;
  std::int64_t base[rows / 32];  // element of the window's first pixel
  std::int32_t y[rows / 32], x[rows / 32];
  std::int32_t first_column;

  KONV_DEVICE GemmLoader(const ConvGemmParams& params, std::int32_t first_pixel, std::int32_t column)
      : p(params), chunk(static_cast<int>(threadIdx.x) % 4), row(static_cast<int>(threadIdx.x) / 4), first_column(column) {
    const ConvGeometry& g = p.g;
    const std::int32_t pixels = g.batch * g.out_h * g.out_w;
    for (int i = 0; i < rows / 32; ++i) {
      const std::int32_t pixel = first_pixel + row + 32 * i;
      const Window w = window_at(g, pixel < pixels ? pixel : 0);
      y[i] = pixel < pixels ? w.y : -32768;  // above every image: all of its chunks are zero
      x[i] = w.x;
      base[i] = ((static_cast<std::int64_t>(w.n) * g.in_h + w.y) * g.in_w + w.x) * g.in_pitch;
    }
  }

  /// Starts the copies of step `k` into a stage: first the pixels' tile, behind it the channels'.
  KONV_DEVICE void copy(std::int32_t k, unsigned char* stage) const {
    constexpr int kLane = kLanes<T>;
    const ConvGeometry& g = p.g;
    const std::int32_t index = 2 * k + chunk / 2;
    const Chunk words = load(reinterpret_cast<const Chunk*>(p.groups + index));
    const auto delta = static_cast<std::int32_t>(words.words[0]);
    const auto dy = static_cast<std::int16_t>(words.words[1] & 0xffffu), dx = static_cast<std::int16_t>(words.words[1] >> 16);
    const std::int32_t channel = static_cast<std::int32_t>(words.words[2]);
    const int part = chunk % 2 * kLane;
    const bool any = channel >= 0 && channel + part < g.in_pitch;
    const T* in = static_cast<const T*>(p.in);
    for (int i = 0; i < rows / 32; ++i) {
      const bool there = any && inside(g, y[i] + dy, x[i] + dx);
      copy_async(stage + tile_offset(row + 32 * i, chunk), there ? in + base[i] + delta + part : in, there);
    }
    const T* weight = static_cast<const T*>(p.weight);
    for (int i = 0; i < columns / 32; ++i) {
      const std::int32_t column = first_column + row + 32 * i;
      const bool there = column < g.out_pitch;
      const std::int64_t at = (static_cast<std::int64_t>(column) * p.k_groups + index) * 2 * kLane + part;
      copy_async(stage + rows * kRowBytes + tile_offset(row + 32 * i, chunk), there ? weight + at : weight, there);
    }
  }
};

/// Runs the loop over K: multiply(stage) for every step, while later steps are on their way. Afterwards the shared memory is free.
template <class T, int rows, int columns, class Multiply>
KONV_DEVICE void gemm_loop(const GemmLoader<T, rows, columns>& loader, unsigned char* memory, const Multiply& multiply) {
  constexpr int kStageBytes = (rows + columns) * kRowBytes;
  const std::int32_t steps = loader.p.k_groups / 2;
  for (int s = 0; s < kGemmStages - 1; ++s) {
    if (s < steps) loader.copy(s, memory + s * kStageBytes);
    commit_copies();
  }
  for (std::int32_t k = 0; k < steps; ++k) {
    wait_copies<kGemmStages - 2>();
    sync_threads();  // step k has arrived for everybody, and nobody reads the stage of step k - 1 any more
    const std::int32_t next = k + kGemmStages - 1;
    if (next < steps) loader.copy(next, memory + next % kGemmStages * kStageBytes);
    commit_copies();
    multiply(memory + k % kGemmStages * kStageBytes);
  }
  wait_copies<0>();
  sync_threads();
}

}  // namespace konv::cuda
