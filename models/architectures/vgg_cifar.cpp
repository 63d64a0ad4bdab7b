// VGG (Simonyan and Zisserman 2014) for 32x32 images, numbered as torchvision numbers the layers of one nn.Sequential:
//
//   features.{i} Conv 3x3, [features.{i+1} BatchNorm,] ReLU, [MaxPool 2x2]        classifier, or classifier.{i} with ReLU between
//
// ReLU and pools hold no tensors: the gap between two convolutions' numbers tells whether a pool is there. Five pools in all: 32 -> 1.

#include <charconv>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "models/architectures/network_builder.h"

namespace konv::models {
namespace {

/// The numbers of "<prefix>.{i}.weight" tensors with `rank` dimensions, rising.
std::vector<int> find_layers(const StateDict& weights, const std::string& prefix, std::size_t rank) {
  std::set<int> numbers;
  for (const auto& [name, tensor] : weights) {
    if (!name.starts_with(prefix + ".") || !name.ends_with(".weight") || tensor.dims.size() != rank) continue;
    const char* begin = name.data() + prefix.size() + 1;
    int number = 0;
    const auto [end, error] = std::from_chars(begin, name.data() + name.size(), number);
    if (error == std::errc() && std::string_view(end) == ".weight" && number >= 0) numbers.insert(number);
  }
  return {numbers.begin(), numbers.end()};
}

Feature features(NetworkBuilder& network, Feature x, const std::vector<int>& convs) {
  constexpr int kPools = 5;
  int pools = 0;
  for (std::size_t i = 0; i < convs.size(); ++i) {
    const int number = convs[i];
    const std::string norm = fmt::format("features.{}", number + 1);
    const bool normalized = network.has(norm + ".running_mean");
    const int relu = number + (normalized ? 2 : 1);
    x = network.conv(x, fmt::format("features.{}", number), {.kernel = 3, .bias = normalized ? Bias::optional : Bias::required});
    if (normalized) x = network.batch_norm(x, norm);
    x = network.relu(x, fmt::format("features.{}", relu));

    const bool last = i + 1 == convs.size();
    const int gap = last ? 2 : convs[i + 1] - relu;
    if (gap != 1 && gap != 2) {
      network.fail(
          fmt::format("between features.{} and features.{} there is room for {} layers; expected one (ReLU) or two (and a max pool)",
                      relu - 1, convs[i + 1], gap));
    }
    if (gap == 1) continue;
    x = network.max_pool2(x, fmt::format("features.{}", relu + 1));
    ++pools;
  }
  if (pools != kPools) network.fail(fmt::format("the numbers of the layers leave room for {} max pools; expected {}", pools, kPools));
  return x;
}

Feature classifier(NetworkBuilder& network, Feature x, const std::vector<int>& layers) {
  if (layers.empty()) return network.linear(x, "classifier");
  for (const int number : layers) {
    x = network.linear(x, fmt::format("classifier.{}", number));
    if (number != layers.back()) x = network.relu(x, fmt::format("classifier.{}.relu", number));
  }
  return x;
}

}  // namespace

Graph build_vgg(const StateDict& weights) {
  NetworkBuilder network("vgg", weights);
  const std::vector<int> convs = find_layers(weights, "features", 4);
  if (convs.empty()) network.fail("the checkpoint has no features.0.weight; expected tensors of a VGG");
  const std::string first = fmt::format("features.{}.weight", convs.front());
  Feature x = features(network, network.input(std::max<std::int64_t>(network.size(first, 1), 1), 32), convs);
  return network.finish(classifier(network, network.flatten(x, "flatten"), find_layers(weights, "classifier", 2)));
}

}  // namespace konv::models
