// What the architectures are built with: layers whose tensors come from a checkpoint by name. Everything wrong with the checkpoint is noted and
// thrown all at once by finish().
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "engine/graph/graph.h"
#include "models/architectures/architectures.h"

namespace konv::models {

/// A value on its way through the network, with what the next layer has to know. Images are square.
struct Feature {
  ValueId value;
  std::int64_t channels = 0;
  std::int64_t side = 1;  ///< height and width; 1 once flat
};

enum class Bias { none, required, optional };

struct ConvOptions {
  std::int64_t out_channels = -1;  ///< -1: as the weight says
  std::int64_t kernel = -1;        ///< -1: as the weight says
  std::int64_t stride = 1;
  bool pad_same = true;  ///< kernel / 2 on every side, else none
  Bias bias = Bias::none;
};

class NetworkBuilder {
 public:
  NetworkBuilder(std::string architecture, const StateDict& weights);

  // What the checkpoint holds.
  bool has(const std::string& name) const { return weights_.contains(name); }
  bool has_any(const std::string& prefix) const;
  /// Size `dim` of a tensor; 0 when it is not there, has fewer dimensions or is absurdly large.
  std::int64_t size(const std::string& name, std::size_t dim) const;
  /// Blocks of a stage: how many of "<prefix>0.", "<prefix>1.", ... there are in a row.
  int count_blocks(const std::string& prefix) const;

  // Layers. Nodes and constants are named as in the checkpoint.
  Feature input(std::int64_t channels, std::int64_t side);
  Feature conv(const Feature& x, const std::string& name, const ConvOptions& options);
  Feature batch_norm(const Feature& x, const std::string& name);
  Feature relu(const Feature& x, const std::string& name);
  Feature add(const Feature& a, const Feature& b, const std::string& name);
  Feature max_pool2(const Feature& x, const std::string& name);  ///< 2x2, stride 2
  Feature flatten(const Feature& x, const std::string& name);
  Feature linear(const Feature& x, const std::string& name, std::int64_t out = -1);
  /// Mean over the pixels, then flat.
  Feature global_average_pool(const Feature& x, const std::string& name);
  /// He et al. 2015, option A: every stride-th pixel, the channels that are missing filled with zeros, half in front and half behind.
  Feature subsample_and_pad(const Feature& x, const std::string& name, std::int64_t stride, std::int64_t channels);

  /// Throws konv::Error at once: the checkpoint is of another network altogether.
  [[noreturn]] void fail(const std::string& fact) const;

  /// Names the output "logits" and verifies. Throws one konv::Error that lists all tensors missing, unexpected or of the wrong shape.
  Graph finish(const Feature& logits);

 private:
  /// The tensor as float32; its shape must be `dims`, where -1 allows any size.
  ValueId tensor(const std::string& name, const Dims& dims);

  std::string architecture_;
  const StateDict& weights_;
  Graph graph_;
  std::set<std::string> used_;
  std::vector<std::string> problems_;
};

/// The name of the last layer: "linear" or "fc", whichever the checkpoint has.
std::string classifier_name(const NetworkBuilder& network);

Graph build_lenet(const StateDict& weights);
Graph build_repvgg(const StateDict& weights);
Graph build_vgg(const StateDict& weights);
Graph build_resnet(const StateDict& weights);  ///< any depth
Graph build_resnet20(const StateDict& weights);
Graph build_resnet32(const StateDict& weights);
Graph build_resnet44(const StateDict& weights);
Graph build_resnet56(const StateDict& weights);
Graph build_resnet110(const StateDict& weights);

}  // namespace konv::models
