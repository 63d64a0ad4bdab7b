// Second moments of a layer's inputs and of what its outputs should be, over all calibration images: what the optimal weights, and the optimal integers, follow from.
#pragma once

#include <vector>

#include "engine/compress/matrix.h"
#include "engine/compress/streams.h"
#include "kernels/base/conv_shape.h"

namespace konv::compress {

/// Samples that a layer's moments are taken over, at most.
inline constexpr std::int64_t kStatisticsRows = 1 << 16;
/// Weights are drawn towards the original ones where the data say little: by this share of the mean diagonal of H.
inline constexpr double kTargetDamping = 0.01;

/// Per group of a convolution: x the im2col rows of its inputs (K), t its target outputs (M).
///   mean = E[x], target_mean = E[t], h = E[x x'] - mean mean', t = E[t x'] - target_mean mean'
/// Centring makes the bias exact: bias = target_mean - W mean, whatever W becomes.
struct Moments {
  Matrix h, t;
  std::vector<double> mean, target_mean, target_variance;
};

/// `shape`: of one image. `target` is [Cout, OH, OW] per image; null without. Every image gives at most so many pixels that `rows` come together, chosen evenly.
/// The same result for any number of threads.
std::vector<Moments> moments(const Streams& streams, const ConvShape& shape, const Samples& input, const Quantization* quantization,
                             const Samples* target, std::int64_t rows);

/// The same layer's moments for another target: h and mean stay.
void set_target(std::vector<Moments>& groups, const Streams& streams, const ConvShape& shape, const Samples& input,
                const Quantization* quantization, const Samples& target, std::int64_t rows);

}  // namespace konv::compress
