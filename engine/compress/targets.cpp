#include "engine/compress/targets.h"

#include <algorithm>
#include <cmath>

namespace konv::compress {
namespace {

/// Where the activation is flat: below `low` and above `high`.
struct FlatParts {
  float low = -INFINITY, high = INFINITY;
};

FlatParts flat_parts(const Activation& a) {
  if (a.kind == ActivationKind::relu) return {0, INFINITY};
  if (a.kind == ActivationKind::clip && a.alpha < a.beta) return {a.alpha, a.beta};
  return {};
}

}  // namespace

bool has_flat_parts(const Activation& activation) {
  const FlatParts flat = flat_parts(activation);
  return flat.low > -INFINITY || flat.high < INFINITY;
}

Samples activated(const Samples& sums, const Activation& activation) {
  Samples result = make_samples(DType::float32, sums.dims, sums.images);
  const std::span<const float> from = sums.reals();
  const std::span<float> to = result.reals();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = apply(activation, from[i]);
  return result;
}

Samples difference(const Samples& sums, const Samples& part, const Quantization* quantization) {
  Samples result = make_samples(DType::float32, sums.dims, sums.images);
  const std::int64_t elements = sums.elements();
  for (std::int64_t n = 0; n < sums.images; ++n) {
    const float* from = sums.f32(n);
    float* to = result.f32(n);
    to_reals(part, quantization, n, to);
    for (std::int64_t i = 0; i < elements; ++i) to[i] = from[i] - to[i];
  }
  return result;
}

Samples nearest_wanted(const Samples& wanted, const Samples& given, const Activation& activation) {
  const FlatParts flat = flat_parts(activation);
  Samples result = make_samples(DType::float32, wanted.dims, wanted.images);
  const std::span<const float> want = wanted.reals(), is = given.reals();
  const std::span<float> to = result.reals();
  for (std::size_t i = 0; i < to.size(); ++i)
    to[i] = want[i] <= flat.low ? std::min(is[i], flat.low) : want[i] >= flat.high ? std::max(is[i], flat.high) : want[i];
  return result;
}

}  // namespace konv::compress
