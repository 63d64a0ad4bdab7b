// One graph and everything made from it that does not belong to a single run: packed weights and executables, shared by sessions and threads.
#pragma once

#include <compare>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/run/cuda/weights.h"
#include "engine/run/executable.h"

namespace konv::run {

class Network {
 public:
  /// `graph` is verified and no longer changes.
  explicit Network(Graph graph);

  const Graph& graph() const { return *graph_; }
  std::shared_ptr<const Graph> shared_graph() const { return graph_; }

  /// The executable for these sizes of the graph's inputs (in order), planned and compiled on first use. Thread-safe.
  /// `shape_values`: the elements of shape_inputs(), in their order, when there are any.
  std::shared_ptr<const Executable> executable(const std::vector<Dims>& input_shapes, const Machine& machine, const plan::Options& options,
                                               const std::vector<Tensor>& shape_values = {});

  /// May a batch be computed in parts? (engine/graph/images.h)
  bool has_independent_images() const { return independent_images_; }

  /// The network's weights on a GPU, shared by whoever runs it there. Thread-safe.
  std::shared_ptr<CudaWeights> cuda_weights(const CudaDevice& device);

  /// Inputs whose elements decide shapes: indices into the graph's inputs.
  const std::vector<std::size_t>& shape_inputs() const { return shape_inputs_; }

 private:
  struct Key {
    std::vector<Dims> shapes;
    std::vector<std::vector<std::byte>> shape_values;
    std::vector<std::int64_t> options;
    bool pipelines = true, bfloat16 = false;
    double max_error = 0;
    std::map<std::string, std::string> asked_for;
    friend std::partial_ordering operator<=>(const Key&, const Key&) = default;
  };

  std::shared_ptr<const Graph> graph_;
  std::vector<std::size_t> shape_inputs_;
  bool independent_images_ = false;
  PackedWeights packed_;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Executable>> executables_;
  std::map<std::int32_t, std::shared_ptr<CudaWeights>> cuda_weights_;  // by device
};

/// Input shapes by value, as plan::make wants them.
std::map<ValueId, Dims> by_value(const Graph& graph, const std::vector<Dims>& input_shapes);

/// Runs a graph that has no inputs, serially, and returns its outputs: constant folding's Evaluate.
std::vector<Tensor> evaluate(const Graph& graph);

}  // namespace konv::run
