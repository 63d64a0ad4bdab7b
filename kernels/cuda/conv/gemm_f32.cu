// Implicit GEMM in float32 without tensor cores: every product and sum in full precision. The tiles are those of gemm_tile.h.
#include "kernels/cuda/conv/gemm_tile.h"

namespace konv::cuda {

/// A thread sums 8 pixels (ty + 8 i) x 4 channels (tx + 16 j) of a tile of 64 x 64, or 4 x 2 of a tile of 32 x 32.
template <int rows, int columns>
KONV_DEVICE void conv_gemm_simt(const ConvGemmParams& p) {
  KONV_SHARED(memory);
  constexpr int kM = rows / 8, kN = columns / 16;
  const int tx = static_cast<int>(threadIdx.x) % 16, ty = static_cast<int>(threadIdx.x) / 16;
  const std::int32_t first_pixel = static_cast<std::int32_t>(blockIdx.x) * rows,
                     first_column = static_cast<std::int32_t>(blockIdx.y) * columns;
  const GemmLoader<float, rows, columns> loader(p, first_pixel, first_column);

  float sum[kM][kN] = {};
  gemm_loop<float, rows, columns>(loader, memory, [&](const unsigned char* stage) {
#pragma unroll
    for (int chunk = 0; chunk < 4; ++chunk) {
      float b[kN][4];
#pragma unroll
      for (int n = 0; n < kN; ++n) unpack(load_shared<Chunk>(stage + rows * kRowBytes + tile_offset(tx + 16 * n, chunk)), b[n], float{});
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        float a[4];
        unpack(load_shared<Chunk>(stage + tile_offset(ty + 8 * m, chunk)), a, float{});
#pragma unroll
        for (int n = 0; n < kN; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) sum[m][n] += a[i] * b[n][i];
        }
      }
    }
  });

#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kN; ++n) store_shared(memory + sum_offset<columns>(ty + 8 * m, tx + 16 * n), sum[m][n]);
  }
  sync_threads();
  const std::int32_t pixels = p.g.batch * p.g.out_h * p.g.out_w;
  store_tile<float, rows, columns, kGemmThreads>(memory, p.g, p.out, p.epilogue, first_column, [&](int row) -> std::int64_t {
    return first_pixel + row < pixels ? first_pixel + row : -1;
  });
}

KONV_GLOBAL(conv_gemm_f32_64x64, ConvGemmParams, kGemmThreads) { conv_gemm_simt<64, 64>(p); }
KONV_GLOBAL(conv_gemm_f32_32x32, ConvGemmParams, kGemmThreads) { conv_gemm_simt<32, 32>(p); }

}  // namespace konv::cuda
