// Layers fitted to what another network gives, from the first to the last: each repairs what the ones before it lost. Optimal weights by least squares with
// asymmetric targets: the inputs are those of the network as it becomes, the targets those of the network as it was.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/compress/layer.h"
#include "engine/compress/statistics.h"
#include "engine/compress/streams.h"

namespace konv::compress {

/// `progress(done, total)` may be empty.
using Progress = std::function<void(std::size_t, std::size_t)>;

/// A convolution whose weights may go: float32 and not grouped.
bool prunable(const Graph& graph, const Layer& layer);

/// All prunable convolutions, in order.
std::vector<NodeId> prunable_layers(const Graph& graph);

/// Calls f for every convolution or fully connected layer that is not grouped, with the moments of its inputs; the targets are its outputs before the activation,
/// shortcut included.
void survey(const Graph& graph, const Samples& inputs, const Streams& streams,
            const std::function<void(const Layer&, const ConvShape&, const Moments&)>& f, const std::function<void()>& step);

/// What a layer keeps: im2col rows, or single weights.
struct Kept {
  std::vector<std::int32_t> rows;  ///< rising
  Matrix mask;                     ///< [Cout, K] of 0 and 1; empty: all weights of `rows`
};

struct RefitOptions {
  /// What a layer keeps. `w`: the best weights that it could have; called for prunable layers. Empty: everything.
  std::function<Kept(NodeId, const Matrix& w, const Matrix& h)> choose;
  std::int64_t granularity = 1;  ///< that `rows` are recorded with
  /// Output channels of the target that the graph still has, by node; all where a node is not named.
  std::map<NodeId, std::vector<std::int32_t>> channels;
};

struct FittedLayer {
  NodeId node;
  std::int64_t weights = 0, kept = 0;
  double signal_to_noise = 0;  ///< dB, of its output against the target's, the mean aside
};

/// `graph`: the nodes of `target`, perhaps with fewer channels. Returns it with new weights, node ids unchanged.
Graph refit(Graph graph, const Graph& target, const Samples& inputs, const Streams& streams, const RefitOptions& options,
            const std::function<void()>& step, std::vector<FittedLayer>& report);

}  // namespace konv::compress
