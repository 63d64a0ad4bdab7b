// Values of any rank up to 4 as NHWC images: [N, C, H, W], [N, C, L] (height 1), [N, C] (one pixel), [C].
#pragma once

#include <cstdint>

#include "engine/plan/plan.h"

namespace konv::plan {

struct ImageSizes {
  std::int64_t n = 1, c = 1, h = 1, w = 1;

  std::int64_t pixels() const { return h * w; }
  friend bool operator==(const ImageSizes&, const ImageSizes&) = default;
};

inline ImageSizes image_sizes(const Dims& d) {
  switch (d.size()) {
    case 0: return {};
    case 1: return {1, d[0], 1, 1};
    case 2: return {d[0], d[1], 1, 1};
    case 3: return {d[0], d[1], 1, d[2]};
    default: return {d[0], d[1], d[2], d[3]};
  }
}

/// Element strides of the value's own dimensions.
inline Ints image_strides(const Dims& d, std::int64_t pitch) {
  const ImageSizes s = image_sizes(d);
  const Ints all = {s.pixels() * pitch, 1, s.w * pitch, pitch};  // n, c, h, w
  switch (d.size()) {
    case 0: return {};
    case 1: return {all[1]};
    case 2: return {all[0], all[1]};
    case 3: return {all[0], all[1], all[3]};
    default: return all;
  }
}

/// The dimensions with ones in front, as NumPy aligns them.
inline Dims aligned_dims(const Dims& d, std::size_t rank) {
  Dims out(rank > d.size() ? rank - d.size() : 0, 1);
  out.insert(out.end(), d.begin(), d.end());
  return out;
}

}  // namespace konv::plan
