// Weights of convolutions and products as the CUDA kernels' packing takes them: dense float32.
#pragma once

#include <vector>

#include "engine/plan/plan.h"

namespace konv::plan {

/// A weight's elements [out][in / groups][kernel...], rows that were pruned away put back as zeros. Empty when the value is no float constant.
std::vector<float> weight_values(const Graph& graph, ValueId id);
/// The weight's shape before pruning.
Dims dense_weight_dims(const Graph& graph, ValueId id);

/// A product of m rows as a convolution of m images of one pixel.
ConvShape product_shape(const GemmShape& shape);
/// alpha B as that convolution's weight [n][k].
std::vector<float> product_weight(const GemmStep& step, const std::vector<float>& b);

}  // namespace konv::plan
