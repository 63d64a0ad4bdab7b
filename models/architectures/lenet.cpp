// LeNet-5's layout (LeCun et al. 1998) as it is trained today: ReLU and max pooling. Kernels, channels and widths are read off the weights:
//
//   conv1 (no padding), ReLU, 2x2 max pool, conv2 (no padding), ReLU, 2x2 max pool, fc1, ReLU, fc2, ReLU, fc3

#include <fmt/format.h>

#include "models/architectures/network_builder.h"

namespace konv::models {
namespace {

/// Side of conv2's pooled output for images of `side`; 0 when they are too small.
std::int64_t pooled_side(std::int64_t side, std::int64_t kernel1, std::int64_t kernel2) {
  const std::int64_t inner = (side - kernel1 + 1) / 2 - kernel2 + 1;
  return side < kernel1 || inner < 2 ? 0 : inner / 2;
}

/// fc1 tells how many pixels reach it: 32x32 images where that fits, then 28x28 (MNIST), else the smallest that do; 0 when none does.
std::int64_t find_side(const NetworkBuilder& network) {
  const std::int64_t kernel1 = network.size("conv1.weight", 2), kernel2 = network.size("conv2.weight", 2);
  const std::int64_t channels = network.size("conv2.weight", 0), inputs = network.size("fc1.weight", 1);
  constexpr std::int64_t kLargest = 1024;
  if (kernel1 <= 0 || kernel2 <= 0 || kernel1 > kLargest || kernel2 > kLargest || channels <= 0) return 0;
  const auto fits = [&](std::int64_t side) {
    const std::int64_t pooled = pooled_side(side, kernel1, kernel2);
    return pooled > 0 && inputs % channels == 0 && inputs / channels == pooled * pooled;
  };
  for (const std::int64_t side : {32, 28}) {
    if (fits(side)) return side;
  }
  for (std::int64_t side = 1; side <= kLargest; ++side) {
    if (fits(side)) return side;
  }
  return 0;
}

}  // namespace

Graph build_lenet(const StateDict& weights) {
  NetworkBuilder network("lenet", weights);
  constexpr ConvOptions kValid = {.pad_same = false, .bias = Bias::required};
  const std::int64_t side = find_side(network);  // 0: finish() says what is missing or does not fit
  Feature x = network.input(std::max<std::int64_t>(network.size("conv1.weight", 1), 1), side > 0 ? side : 32);
  x = network.max_pool2(network.relu(network.conv(x, "conv1", kValid), "relu1"), "pool1");
  x = network.max_pool2(network.relu(network.conv(x, "conv2", kValid), "relu2"), "pool2");
  x = network.flatten(x, "flatten");
  x = network.relu(network.linear(x, "fc1"), "relu3");
  x = network.relu(network.linear(x, "fc2"), "relu4");
  return network.finish(network.linear(x, "fc3"));
}

}  // namespace konv::models
