// The memory side of a cost: seconds to stream bytes that lie in the cache they fit into.
#pragma once

#include <algorithm>

#include "kernels/base/machine.h"

namespace konv {

inline double stream_seconds(double bytes, const Machine& m) {
  if (bytes <= static_cast<double>(m.l2_bytes)) return bytes / m.l2_bandwidth;
  return bytes / (bytes <= static_cast<double>(m.l3_bytes) ? m.l3_bandwidth : m.dram_bandwidth);
}

/// The same for a layer's weights.
inline double weight_seconds(double bytes, const Machine& m) {
  return m.weights_stay() ? stream_seconds(bytes, m) : bytes / m.dram_bandwidth;
}

/// Seconds for products of `products` seconds with weights that are fetched ahead from DRAM: that hides all of them but a share `exposed`.
inline double with_far_weights(double products, double exposed, double bytes, const Machine& m) {
  return std::max(products, exposed * products + bytes / m.dram_bandwidth);
}

/// Share of the peak that multiply-adds reach, where `share` is what they do on a core that hides nothing of the rest.
inline double multiply_share(double share, const Machine& m) { return share + m.hidden * (1 - share); }

/// Share of a loop of `n` that is not spent on its beginning and end.
inline double loop_share(double n, double loss) { return n / (n + loss); }

/// What calling a kernel costs before it has done anything.
inline constexpr double kCallSeconds = 0.5e-6;

/// What the naive kernels take per multiply-add or element.
inline constexpr double kNaiveSeconds = 2e-9;

}  // namespace konv
