// RepVGG (Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", 2021) for 32x32 images: stage0, one block; stage{1,2,3}.{i}; linear.
// A block as trained is
//
//   ReLU(rbr_dense (3x3, BN) + rbr_1x1 (1x1, BN) + rbr_identity (BN, where the shape stays))
//
// and deployed ReLU(rbr_reparam (3x3 with bias)). Stages 2 and 3 begin with stride 2.

#include <string>

#include <fmt/format.h>

#include "models/architectures/network_builder.h"

namespace konv::models {
namespace {

constexpr int kStages = 3;

Feature conv_bn(NetworkBuilder& network, const Feature& x, const std::string& name, const ConvOptions& options) {
  return network.batch_norm(network.conv(x, name + ".conv", options), name + ".bn");
}

Feature block(NetworkBuilder& network, const Feature& x, const std::string& name, std::int64_t stride) {
  if (network.has_any(name + ".rbr_reparam.")) {
    const Feature y = network.conv(x, name + ".rbr_reparam", {.kernel = 3, .stride = stride, .bias = Bias::required});
    return network.relu(y, name + ".relu");
  }
  Feature y = conv_bn(network, x, name + ".rbr_dense", {.kernel = 3, .stride = stride});
  y = network.add(y, conv_bn(network, x, name + ".rbr_1x1", {.out_channels = y.channels, .kernel = 1, .stride = stride}), name + ".add");
  if (stride == 1 && x.channels == y.channels) {
    y = network.add(y, network.batch_norm(x, name + ".rbr_identity"), name + ".add_identity");
  }
  return network.relu(y, name + ".relu");
}

}  // namespace

Graph build_repvgg(const StateDict& weights) {
  NetworkBuilder network("repvgg", weights);
  if (!network.has_any("stage0.rbr_"))
    network.fail("the checkpoint has no stage0.rbr_dense.conv.weight; expected tensors of a CIFAR RepVGG");
  const bool deployed = network.has_any("stage0.rbr_reparam.");
  Feature x = network.input(
      std::max<std::int64_t>(network.size(deployed ? "stage0.rbr_reparam.weight" : "stage0.rbr_dense.conv.weight", 1), 1), 32);
  x = block(network, x, "stage0", 1);
  for (int stage = 1; stage <= kStages; ++stage) {
    const std::string prefix = fmt::format("stage{}.", stage);
    const int blocks = network.count_blocks(prefix);
    for (int i = 0; i < std::max(blocks, 1); ++i) x = block(network, x, fmt::format("{}{}", prefix, i), stage > 1 && i == 0 ? 2 : 1);
  }
  return network.finish(network.linear(network.global_average_pool(x, "pool"), classifier_name(network)));
}

}  // namespace konv::models
