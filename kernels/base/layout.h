// How a value lies in memory; the plan decides it, kernels state which ones they take.
#pragma once

#include <cstdint>

#include "kernels/base/dtype.h"

namespace konv {

enum class Format : std::uint8_t {
  plain,          ///< row-major in the order of the dimensions; images are NCHW
  blocked,        ///< [N][ceil(C/block)][H][W][block]; pad lanes hold the fill
  channels_last,  ///< [N][H][W][padded_channels]; pad lanes hold the fill
};

/// Physical rows and columns around an image. Producers write the interior only; the ring holds the fill.
struct Halo {
  int top = 0, left = 0, bottom = 0, right = 0;

  bool empty() const { return !top && !left && !bottom && !right; }
  friend bool operator==(const Halo&, const Halo&) = default;
};

struct Layout {
  Format format = Format::plain;
  int block = 1;  ///< channels that lie together; 1 when plain
  DType dtype = DType::float32;
  std::int64_t padded_channels = 0;  ///< channels rounded up to the block; 0 when the value is no image
  Halo halo;                         ///< the maximum over the consumers
  std::int32_t fill = 0;             ///< pad lanes and halo: zero or the zero point

  friend bool operator==(const Layout&, const Layout&) = default;
};

}  // namespace konv
