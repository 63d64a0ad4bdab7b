// Random numbers and shapes that are the same on every machine: standard distributions are not, so none is used.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>
#include <vector>

#include "kernels/base/conv_shape.h"

namespace konv::test {

class Rng {
 public:
  explicit Rng(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t bits() { return engine_(); }
  /// In [low, high).
  float real(float low = -1, float high = 1) { return low + (high - low) * static_cast<float>(engine_() >> 40) * 0x1p-24f; }
  /// In [low, high], both included.
  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool chance(double probability) { return static_cast<double>(engine_() >> 11) * 0x1p-53 < probability; }
  template <class T>
  T pick(const std::vector<T>& choices) {
    return choices[static_cast<std::size_t>(integer(0, static_cast<std::int64_t>(choices.size()) - 1))];
  }
  std::int64_t pick(std::initializer_list<std::int64_t> choices) { return pick(std::vector<std::int64_t>(choices)); }

  std::vector<float> reals(std::int64_t count, float low = -1, float high = 1);

 private:
  std::mt19937_64 engine_;
};

struct ConvShapesOptions {
  std::uint64_t seed = 1;
  int count = 100;
  int straddle = 8;                   ///< channels and widths lie below, at and above multiples of this many lanes
  std::int64_t max_macs = 4'000'000;  ///< the oracle is slow
};

/// Valid shapes: dense, grouped, depthwise and pointwise; strides, dilations and pads that differ per side.
std::vector<ConvShape> random_conv_shapes(const ConvShapesOptions& options);

}  // namespace konv::test
