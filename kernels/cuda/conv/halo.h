// Tile of the halo-resident 3x3 convolution, for the kernel and for whoever launches it.
#pragma once

namespace konv::cuda {

inline constexpr int kHaloWidth = 16, kHaloHeight = 8, kHaloThreads = 128;

/// The halo, and afterwards the sums.
constexpr int halo_shared_bytes(int channels) {
  const int halo = (kHaloWidth + 2) * (kHaloHeight + 2) * channels * 2, sums = kHaloWidth * kHaloHeight * channels * 4;
  return halo > sums ? halo : sums;
}

}  // namespace konv::cuda
