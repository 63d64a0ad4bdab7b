// One budget of multiply-adds for all layers.
#pragma once

#include <cstddef>
#include <vector>

namespace konv::compress {

/// What a layer loses while it is cut step by step.
struct LayerCurve {
  std::vector<double> loss;  ///< of its outputs, summed over channels, after each step
  std::vector<double> macs;  ///< that each step saves
  double variance = 1;       ///< of the layer's outputs, summed over channels
  double all_macs = 0;
};

/// How many steps each layer takes, for `share` of all multiply-adds: spent where the loss, as a share of the layer's variance, is least per multiply-add. What
/// costs nothing goes in any case; the last step of a layer never does.
std::vector<std::size_t> allocate(const std::vector<LayerCurve>& layers, double share);

}  // namespace konv::compress
