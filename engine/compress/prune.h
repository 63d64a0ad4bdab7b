// K-pruning after training: im2col rows (input channel, tap) leave all output channels of a convolution together, so that the product really shrinks; the rest is
// refitted to what the unpruned network gives, layer after layer.
#pragma once

#include <string>
#include <vector>

#include "engine/compress/quantize.h"
#include "engine/compress/streams.h"

namespace konv::compress {

struct PruneSettings {
  double share = 0.5;            ///< of the convolutions' multiply-adds, from 0 up to 1
  std::int64_t granularity = 1;  ///< input channels that leave together per tap
};

struct PrunedLayer {
  std::string name;
  std::int64_t rows = 0, kept = 0;
  double signal_to_noise = 0;  ///< dB, of its output before the activation against the unpruned network
};

/// `graph`: folded; `target`: the same network as it should be imitated (see with_weights_of). Throws konv::Error.
Graph prune_k_rows(const Graph& graph, const Graph& target, const Samples& inputs, const Streams& streams, const PruneSettings& settings,
                   const Progress& progress, std::vector<PrunedLayer>* report);

/// `graph` with the weights of `reference`'s nodes of the same names. Throws konv::Error naming the node where the two do not agree.
Graph with_weights_of(const Graph& graph, const Graph& reference);

}  // namespace konv::compress
