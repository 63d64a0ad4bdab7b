// Random tensors and the small networks that tests are made of.
#pragma once

#include <map>
#include <string>

#include "engine/graph/graph.h"
#include "tests/support/random.h"

namespace konv::test {

Tensor random_tensor(Rng& rng, Dims dims, float low = -1, float high = 1);

/// A random tensor for every input of the graph, whose sizes must be known; unknown ones become `unknown`.
std::map<std::string, Tensor> random_inputs(Rng& rng, const Graph& graph, std::int64_t unknown = 2);

struct ConvOptions {
  Ints kernel = {3, 3};
  Ints strides = {}, pads = {}, dilations = {};
  AutoPad auto_pad = AutoPad::explicit_pads;
  std::int64_t groups = 1;
  bool bias = true;
  Activation activation = {};
};

/// Pads that keep the image's size at stride 1 for an odd kernel.
Ints same_pads(const Ints& kernel);

/// A convolution with random constant weights `name`.weight and `name`.bias; its node is called `name`.
ValueId add_conv(Graph& graph, Rng& rng, const std::string& name, ValueId input, std::int64_t in_channels, std::int64_t out_channels,
                 const ConvOptions& options = {});
/// Gamma and variance well away from zero.
ValueId add_batch_norm(Graph& graph, Rng& rng, const std::string& name, ValueId input, std::int64_t channels);
ValueId add_relu(Graph& graph, const std::string& name, ValueId input);
ValueId add_sum(Graph& graph, const std::string& name, ValueId a, ValueId b);

/// input "x" -> conv -> bn -> relu -> output
Graph conv_bn_relu(Rng& rng, std::int64_t in_channels = 3, std::int64_t out_channels = 4, std::int64_t size = 7);

/// ResNet's basic block: conv1 bn1 relu1 conv2 bn2, plus the input (through downsample.0, downsample.1 at stride 2), add, relu2
Graph residual_block(Rng& rng, std::int64_t channels = 4, std::int64_t size = 8, std::int64_t stride = 1);

struct RepVggOptions {
  std::int64_t channels = 4, size = 9, stride = 1, groups = 1;
  bool identity = true, batch_norm = true;
};

/// RepVGG's block: dense (3x3) + pointwise (1x1) + identity, each with its norm, then relu
Graph repvgg_block(Rng& rng, const RepVggOptions& options = {});

}  // namespace konv::test
