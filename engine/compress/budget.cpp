#include "engine/compress/budget.h"

#include <algorithm>
#include <cmath>

namespace konv::compress {

std::vector<std::size_t> allocate(const std::vector<LayerCurve>& layers, double share) {
  double left = 0;
  for (const LayerCurve& layer : layers) left += share * layer.all_macs;
  std::vector<std::size_t> counts(layers.size());
  // The price of the next step; never less than what came before, so that one cheap step behind dear ones does not wait in vain.
  std::vector<double> price(layers.size());
  const auto next_price = [&](std::size_t l) -> double {
    const LayerCurve& layer = layers[l];
    const std::size_t i = counts[l];
    if (i + 1 >= layer.loss.size()) return INFINITY;
    const double loss = layer.loss[i] - (i ? layer.loss[i - 1] : 0.0);
    return std::max(price[l], loss / std::max(layer.variance, 1e-30) / layer.macs[i]);
  };
  for (;;) {
    std::size_t best = layers.size();
    double least = INFINITY;
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const double p = next_price(l);
      if (p < least) least = p, best = l;
    }
    if (best == layers.size() || (left <= 0 && least > 0)) break;
    price[best] = least;
    left -= layers[best].macs[counts[best]++];
  }
  return counts;
}

}  // namespace konv::compress
