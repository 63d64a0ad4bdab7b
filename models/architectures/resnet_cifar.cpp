// ResNets for 32x32 images: He et al., "Deep Residual Learning for Image Recognition" (2015), section 4.2. Tensor names as in
// akamaster/pytorch_resnet_cifar10 and torchvision:
//
//   conv1, bn1, layer{1,2,3}.{i}.conv1/bn1/conv2/bn2, linear (or fc); shortcut.0/.1 (or downsample.0/.1) where a projection is trained
//
// A block that changes size and has no projection has the parameter-free shortcut (option A). Depth is 2 blocks + 2, as the paper counts.

#include <string>

#include <fmt/format.h>

#include "models/architectures/network_builder.h"

namespace konv::models {
namespace {

constexpr int kResNetStages = 3;

Feature shortcut(NetworkBuilder& network, const Feature& x, const std::string& block, std::int64_t stride, std::int64_t channels) {
  for (const char* kind : {".shortcut", ".downsample"}) {
    const std::string name = block + kind;
    if (!network.has(name + ".0.weight")) continue;
    const Feature projected = network.conv(x, name + ".0", {.out_channels = channels, .stride = stride});
    return network.batch_norm(projected, name + ".1");
  }
  return network.subsample_and_pad(x, block + ".shortcut", stride, channels);
}

Feature basic_block(NetworkBuilder& network, const Feature& x, const std::string& block, std::int64_t stride, std::int64_t channels) {
  Feature y = network.conv(x, block + ".conv1", {.out_channels = channels, .kernel = 3, .stride = stride});
  y = network.relu(network.batch_norm(y, block + ".bn1"), block + ".relu1");
  y = network.batch_norm(network.conv(y, block + ".conv2", {.out_channels = channels, .kernel = 3}), block + ".bn2");
  y = network.add(y, shortcut(network, x, block, stride, channels), block + ".add");
  return network.relu(y, block + ".relu2");
}

/// `depth` that the checkpoint must have; 0: any.
Graph build(const std::string& architecture, int depth, const StateDict& weights) {
  NetworkBuilder network(architecture, weights);
  int blocks[kResNetStages], total = 0;
  for (int stage = 0; stage < kResNetStages; ++stage) {
    blocks[stage] = network.count_blocks(fmt::format("layer{}.", stage + 1));
    total += blocks[stage];
  }
  if (total == 0) network.fail("the checkpoint has no layer1.0.conv1.weight; expected tensors of a CIFAR ResNet");
  if (network.has_any("layer1.0.conv3."))
    network.fail("the checkpoint has bottleneck blocks (layer1.0.conv3); expected blocks of two convolutions");
  if (network.has_any("layer4."))
    network.fail("the checkpoint has a layer4, as ResNets for ImageNet have; expected the three stages of a CIFAR ResNet");
  const int found = 2 * total + 2;
  if (depth != 0 && found != depth) {
    network.fail(fmt::format("the checkpoint has {}, {} and {} blocks and looks like resnet{}; expected resnet{}", blocks[0], blocks[1],
                             blocks[2], found, depth));
  }

  Feature x = network.input(std::max<std::int64_t>(network.size("conv1.weight", 1), 1), 32);
  x = network.conv(x, "conv1", {.kernel = 3});
  x = network.relu(network.batch_norm(x, "bn1"), "relu1");
  for (int stage = 0; stage < kResNetStages; ++stage) {
    const std::string layer = fmt::format("layer{}", stage + 1);
    const std::int64_t width = network.size(layer + ".0.conv1.weight", 0);
    for (int i = 0; i < blocks[stage]; ++i) {
      const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      x = basic_block(network, x, fmt::format("{}.{}", layer, i), stride, width);
    }
  }
  return network.finish(network.linear(network.global_average_pool(x, "pool"), classifier_name(network)));
}

}  // namespace

Graph build_resnet(const StateDict& weights) { return build("resnet", 0, weights); }
Graph build_resnet20(const StateDict& weights) { return build("resnet20", 20, weights); }
Graph build_resnet32(const StateDict& weights) { return build("resnet32", 32, weights); }
Graph build_resnet44(const StateDict& weights) { return build("resnet44", 44, weights); }
Graph build_resnet56(const StateDict& weights) { return build("resnet56", 56, weights); }
Graph build_resnet110(const StateDict& weights) { return build("resnet110", 110, weights); }

}  // namespace konv::models
