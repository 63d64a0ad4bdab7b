// Implicit GEMM on tensor cores (mma.sync): float16, and float32 rounded to tf32. Sums are float32.
//   in [n][h][w][pitch]   weight [out_pitch][k_groups][32 bytes]   out [n][oh][ow][out_pitch]
// A block of 4 warps owns rows x columns, 2 x 2 warps a quarter of it each.
#include "kernels/cuda/conv/gemm_tile.h"

namespace konv::cuda {

KONV_DEVICE void prepare(std::uint32_t (&)[4], Half) {}
KONV_DEVICE void prepare(std::uint32_t (&a)[4], float) {
  for (int i = 0; i < 4; ++i) a[i] = round_tf32(a[i]);
}
KONV_DEVICE void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Half) { mma_f16(c, a, b); }
KONV_DEVICE void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], float) { mma_tf32(c, a, b); }

template <class T, int rows, int columns>
KONV_DEVICE void conv_gemm(const ConvGemmParams& p) {
  KONV_SHARED(memory);
  constexpr int kWarpRows = rows / 2, kWarpColumns = columns / 2;
  constexpr int kM = kWarpRows / 16, kN = kWarpColumns / 8;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp / 2 * kWarpRows, warp_column = warp % 2 * kWarpColumns;
  const std::int32_t first_pixel = static_cast<std::int32_t>(blockIdx.x) * rows,
                     first_column = static_cast<std::int32_t>(blockIdx.y) * columns;
  const GemmLoader<T, rows, columns> loader(p, first_pixel, first_column);

  float sum[kM][kN][4] = {};
  gemm_loop<T, rows, columns>(loader, memory, [&](const unsigned char* stage) {
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      std::uint32_t a[kM][4], b[kN][2];
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        load_matrices(a[m], stage + tile_offset(warp_row + 16 * m + lane % 16, 2 * step + lane / 16));
        prepare(a[m], T{});
      }
#pragma unroll
      for (int n = 0; n < kN; n += 2) {
        std::uint32_t r[4];  // 16 channels x 32 bytes: rows 0-7 low, high, rows 8-15 low, high
        load_matrices(r, stage + rows * kRowBytes + tile_offset(warp_column + 8 * n + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2));
        b[n][0] = r[0];
        b[n][1] = r[1];
        b[n + 1][0] = r[2];
        b[n + 1][1] = r[3];
      }
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int n = 0; n < kN; ++n) multiply_add(sum[m][n], a[m], b[n], T{});
      }
    }
  });

#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kN; ++n) stage_fragment<columns>(memory, sum[m][n], warp_row + 16 * m, warp_column + 8 * n);
  }
  sync_threads();
  const std::int32_t pixels = p.g.batch * p.g.out_h * p.g.out_w;
  store_tile<T, rows, columns, kGemmThreads>(memory, p.g, p.out, p.epilogue, first_column,
                                             [&](int row) -> std::int64_t { return first_pixel + row < pixels ? first_pixel + row : -1; });
}

KONV_GLOBAL(conv_gemm_f16_128x128, ConvGemmParams, kGemmThreads) { conv_gemm<Half, 128, 128>(p); }
KONV_GLOBAL(conv_gemm_f16_128x64, ConvGemmParams, kGemmThreads) { conv_gemm<Half, 128, 64>(p); }
KONV_GLOBAL(conv_gemm_f16_64x64, ConvGemmParams, kGemmThreads) { conv_gemm<Half, 64, 64>(p); }
KONV_GLOBAL(conv_gemm_f16_32x32, ConvGemmParams, kGemmThreads) { conv_gemm<Half, 32, 32>(p); }
KONV_GLOBAL(conv_gemm_tf32_128x128, ConvGemmParams, kGemmThreads) { conv_gemm<float, 128, 128>(p); }
KONV_GLOBAL(conv_gemm_tf32_128x64, ConvGemmParams, kGemmThreads) { conv_gemm<float, 128, 64>(p); }
KONV_GLOBAL(conv_gemm_tf32_64x64, ConvGemmParams, kGemmThreads) { conv_gemm<float, 64, 64>(p); }
KONV_GLOBAL(conv_gemm_tf32_32x32, ConvGemmParams, kGemmThreads) { conv_gemm<float, 32, 32>(p); }

}  // namespace konv::cuda
