// Tile of the first convolution, for the kernel and for whoever launches it.
#pragma once

#include <cstdint>

#include "kernels/cuda/params.h"

namespace konv::cuda {

inline constexpr int kFirstWidth = 32, kFirstHeight = 4;  ///< output pixels of a block, one per thread
inline constexpr int kFirstLane = 8;                      ///< output channels that a thread sums at a time

struct FirstTile {
  std::int32_t height, width, pitch;  ///< input pixels that a block reads; floats from row to row
};

#if defined(__CUDACC__)
__host__ __device__
#endif
    inline FirstTile
    first_tile(const ConvGeometry& g) {
  const std::int32_t height = (kFirstHeight - 1) * g.stride_h + (g.kernel_h - 1) * g.dilation_h + 1;
  const std::int32_t width = (kFirstWidth - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1;
  return {height, width, width};
}

#if defined(__CUDACC__)
__host__ __device__
#endif
    inline std::int64_t
    first_shared_bytes(const ConvGeometry& g) {
  const FirstTile tile = first_tile(g);
  const std::int64_t weights =
      static_cast<std::int64_t>(g.in_channels) * g.kernel_h * g.kernel_w * ((g.out_channels + kFirstLane - 1) / kFirstLane * kFirstLane);
  return 4 * (weights + static_cast<std::int64_t>(g.in_channels) * tile.height * tile.pitch);
}

}  // namespace konv::cuda
