// Which im2col rows of a layer to remove: optimal brain surgeon (OBC, arXiv 2208.11580) with whole rows, or groups of rows, as units.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/compress/matrix.h"

namespace konv::compress {

using RowGroups = std::vector<std::vector<std::int32_t>>;

/// Rows (channel, tap) in groups of `granularity` neighbouring channels per tap; the last group of a tap may be smaller.
RowGroups row_groups(std::int64_t channels, std::int64_t taps, std::int64_t granularity);

/// Groups in the order in which they go, and the error of the layer's outputs (summed over channels) after each has gone, the rest having been refitted.
struct Removal {
  std::vector<std::int32_t> order;
  std::vector<double> loss;
};

/// Removes the first `count` groups: each time the one with the smallest W_B (Hinv_BB)^-1 W_B', then W -= W_B (Hinv_BB)^-1 Hinv_B.
Removal removal_order(Matrix w, const Matrix& h, const RowGroups& groups, std::size_t count);

/// The rows that stay when the first `count` groups of `removal` go, rising.
std::vector<std::int32_t> kept_rows(const RowGroups& groups, const Removal& removal, std::size_t count);

/// How many groups each layer loses, for `share` of all multiply-adds: spent where the loss, as a share of the layer's variance, is least per multiply-add.
struct LayerCurve {
  Removal removal;
  std::vector<double> macs;  ///< of each group in the order of removal
  double variance = 1;       ///< of the layer's outputs, summed over channels
  double all_macs = 0;
};
std::vector<std::size_t> allocate(const std::vector<LayerCurve>& layers, double share);

}  // namespace konv::compress
