// 3x3 convolution, stride 1, padding 1, C to C channels of float16 with C = 16, 32 or 64: the halo stays in shared memory for all nine taps.
//   in, out [n][h][w][C]   weight [tap][C / 16][C / 8][32 lanes]: fragments as a lane holds them   sums float32
// A block owns 16 x 8 pixels and all channels; each of its 4 warps two rows of 16. A pixel's chunks change places with the pixel's number (swizzle), so that
// any 8 neighbouring pixels are read without bank conflicts.
#include "kernels/cuda/conv/halo.h"

#include "kernels/cuda/conv/tile_store.h"
#include "kernels/cuda/conv/window.h"

namespace konv::cuda {

template <int C>
KONV_DEVICE int halo_offset(int pixel, int chunk) {
  const int swizzle = C == 16 ? pixel >> 2 & 1 : C == 32 ? pixel >> 1 & 3 : pixel & 7;
  return pixel * C * 2 + ((chunk ^ swizzle) * 16);
}

template <int C>
KONV_DEVICE void conv_halo(const ConvParams& p) {
  KONV_SHARED(memory);
  constexpr int kPitch = kHaloWidth + 2, kPixels = kPitch * (kHaloHeight + 2), kChunks = C / 8;
  constexpr int kK = C / 16, kN = C / 8;
  const ConvGeometry& g = p.g;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const std::int32_t across = (g.out_w + kHaloWidth - 1) / kHaloWidth, down = (g.out_h + kHaloHeight - 1) / kHaloHeight;
  const auto tile = static_cast<std::int32_t>(blockIdx.x);
  const std::int32_t x0 = tile % across * kHaloWidth, y0 = tile / across % down * kHaloHeight, n = tile / across / down;
  const Half* in = static_cast<const Half*>(p.in) + static_cast<std::int64_t>(n) * g.in_h * g.in_w * C;

  for (int i = thread; i < kPixels * kChunks; i += kHaloThreads) {
    const int pixel = i / kChunks, chunk = i % kChunks;
    const std::int32_t y = y0 + pixel / kPitch - 1, x = x0 + pixel % kPitch - 1;
    const bool there = inside(g, y, x);
    copy_async(memory + halo_offset<C>(pixel, chunk), there ? in + (static_cast<std::int64_t>(y) * g.in_w + x) * C + chunk * 8 : in, there);
  }
  commit_copies();
  wait_copies<0>();
  sync_threads();

  float sum[2][kN][4] = {};
  const Pair* weight = static_cast<const Pair*>(p.weight) + lane;
#pragma unroll 1
  for (int tap = 0; tap < 9; ++tap) {
#pragma unroll
    for (int k = 0; k < kK; ++k) {
      std::uint32_t a[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const int pixel = (2 * warp + m + tap / 3) * kPitch + lane % 16 + tap % 3;
        load_matrices(a[m], memory + halo_offset<C>(pixel, 2 * k + lane / 16));
      }
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        const Pair fragment = load(weight + ((tap * kK + k) * kN + j) * 32);
        const std::uint32_t b[2] = {fragment.words[0], fragment.words[1]};
#pragma unroll
        for (int m = 0; m < 2; ++m) mma_f16(sum[m][j], a[m], b);
      }
    }
  }
  sync_threads();  // everybody has read the halo; the sums take its place

#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int j = 0; j < kN; ++j) stage_fragment<C>(memory, sum[m][j], (2 * warp + m) * 16, j * 8);
  }
  sync_threads();
  store_tile<Half, kHaloWidth * kHaloHeight, C, kHaloThreads>(memory, g, p.out, p.epilogue, 0, [&](int row) -> std::int64_t {
    const std::int32_t y = y0 + row / kHaloWidth, x = x0 + row % kHaloWidth;
    return y < g.out_h && x < g.out_w ? (static_cast<std::int64_t>(n) * g.out_h + y) * g.out_w + x : -1;
  });
}

KONV_GLOBAL(conv_halo_f16_c16, ConvParams, kHaloThreads) { conv_halo<16>(p); }
KONV_GLOBAL(conv_halo_f16_c32, ConvParams, kHaloThreads) { conv_halo<32>(p); }
KONV_GLOBAL(conv_halo_f16_c64, ConvParams, kHaloThreads) { conv_halo<64>(p); }

}  // namespace konv::cuda
