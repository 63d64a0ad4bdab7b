// One graph and everything made from it that does not belong to a single run: packed weights and executables, shared by sessions and threads.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/run/executable.h"

namespace konv::run {

class Network {
 public:
  /// `graph` is verified and no longer changes.
  explicit Network(Graph graph) : graph_(std::make_shared<const Graph>(std::move(graph))) {}

  const Graph& graph() const { return *graph_; }

  /// The executable for these sizes of the graph's inputs (in order), planned and compiled on first use. Thread-safe.
  std::shared_ptr<const Executable> executable(const std::vector<Dims>& input_shapes, const Machine& machine, const plan::Options& options);

 private:
  using Key = std::pair<std::vector<Dims>, std::vector<std::int64_t>>;

  std::shared_ptr<const Graph> graph_;
  PackedWeights packed_;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Executable>> executables_;
};

/// Input shapes by value, as plan::make wants them.
std::map<ValueId, Dims> by_value(const Graph& graph, const std::vector<Dims>& input_shapes);

/// Runs a graph that has no inputs, serially, and returns its outputs: constant folding's Evaluate.
std::vector<Tensor> evaluate(const Graph& graph);

}  // namespace konv::run
