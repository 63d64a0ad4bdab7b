// Which im2col rows of a layer to remove: optimal brain surgeon (OBC, arXiv 2208.11580) with whole rows, or groups of rows, as units.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/compress/matrix.h"

namespace konv::compress {

/// Added to the diagonal of H before it is inverted, as a share of the mean.
inline constexpr double kSurgeonDamping = 1e-3;

using RowGroups = std::vector<std::vector<std::int32_t>>;

/// Rows (channel, tap) in groups of `granularity` neighbouring channels per tap; the last group of a tap may be smaller.
RowGroups row_groups(std::int64_t channels, std::int64_t taps, std::int64_t granularity);

/// A layer under the knife: W and (H + l I)^-1 of what is left.
class Surgeon {
 public:
  Surgeon(Matrix w, const Matrix& h, RowGroups groups);

  std::size_t size() const { return groups_.size(); }
  bool gone(std::int32_t group) const { return gone_[static_cast<std::size_t>(group)]; }
  /// What the layer's outputs (summed over channels) lose with group B, the rest refitted: W_B (Hinv_BB)^-1 W_B'.
  double loss(std::int32_t group) const;
  /// Removes it: W -= W_B (Hinv_BB)^-1 Hinv_B, and Hinv likewise.
  void remove(std::int32_t group);

 private:
  Matrix block(std::int32_t group) const;

  Matrix w_, inverse_;
  RowGroups groups_;
  std::vector<bool> gone_;
};

/// Groups in the order in which they go, and the error of the layer's outputs (summed over channels) after each has gone, the rest having been refitted.
struct Removal {
  std::vector<std::int32_t> order;
  std::vector<double> loss;
};

/// Removes the first `count` groups: each time the one whose loss is smallest.
Removal removal_order(Matrix w, const Matrix& h, const RowGroups& groups, std::size_t count);

/// The rows that stay when the first `count` groups of `removal` go, rising.
std::vector<std::int32_t> kept_rows(const RowGroups& groups, const Removal& removal, std::size_t count);

}  // namespace konv::compress
