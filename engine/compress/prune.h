// Pruning after training: what a network can best do without goes, spread over its layers by one budget of multiply-adds, and the rest is refitted to what the
// unpruned network gives, layer after layer.
#pragma once

#include <string>
#include <vector>

#include "engine/compress/refit.h"
#include "engine/compress/streams.h"

namespace konv::compress {

/// k_rows: im2col rows (input channel, tap) leave all output channels of a convolution together, so that the product really shrinks.
/// channels: whole output channels leave with all that reads them.
/// unstructured: single weights become zero.
enum class PruneKind : std::uint8_t { k_rows, channels, unstructured };

struct PruneSettings {
  double share = 0.5;            ///< of the convolutions' multiply-adds, from 0 up to 1
  std::int64_t granularity = 1;  ///< k_rows: input channels that leave together per tap
  PruneKind kind = PruneKind::k_rows;
};

struct PrunedLayer {
  std::string name;
  std::int64_t weights = 0, kept = 0;
  double signal_to_noise = 0;  ///< dB, of its output against the unpruned network
};

/// `graph`: folded, float32; what it gives is the target. Throws konv::Error.
Graph prune(const Graph& graph, const Samples& inputs, const Streams& streams, const PruneSettings& settings, const Progress& progress,
            std::vector<PrunedLayer>* report);

/// `graph` with the weights of `reference`'s nodes of the same names. Throws konv::Error naming the node where the two do not agree.
Graph with_weights_of(const Graph& graph, const Graph& reference);

}  // namespace konv::compress
