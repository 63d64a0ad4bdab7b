// A plan made ready to run: kernels looked up, weights packed. Immutable; threads and sessions share it.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/plan/plan.h"

namespace konv::run {

using Bytes = std::shared_ptr<const std::byte>;

/// Weights as kernels want them, shared by all executables of a model. Thread-safe.
class PackedWeights {
 public:
  /// The packing of a constant for `kernel` and `shape`, made on first use.
  Bytes get(const Value& weight, const ConvKernel& kernel, const ConvShape& shape);
  /// The same for integers, with the scales of step `step`; `bias` may be null.
  Bytes get(const Value& weight, const Tensor* bias, const IntegerConvKernel& kernel, const plan::IntegerConvStep& step, NodeId node);
  /// The right-hand side of a matrix product as pack_columns() leaves it: the constant's own bytes where they are that.
  Bytes get_columns(const Value& weight, bool transposed);
  /// A constant that stands for real numbers as dense float32, for kernels that read weights as they are.
  Tensor real(const Value& value);

 private:
  std::shared_ptr<std::byte> room(std::size_t bytes);

  // A packing depends on the weight, the kernel and - for some kernels - on the shape.
  using Key = std::tuple<const std::byte*, std::string, std::vector<std::int64_t>>;
  std::mutex mutex_;
  std::map<Key, Bytes> packed_;
  std::shared_ptr<std::byte> slab_;  // that small packings share, so that they lie in huge pages
  std::size_t slab_used_ = 0;
  std::map<const std::byte*, Tensor> reals_;
};

class Executable {
 public:
  /// Throws konv::Error naming the step when the plan speaks of kernels this build does not have.
  Executable(std::shared_ptr<const Graph> graph, plan::Plan plan, PackedWeights& packed);

  const plan::Plan& plan() const { return plan_; }
  const Graph& graph() const { return *graph_; }
  /// Bytes behind a constant or literal value.
  const std::byte* constant(int value) const;
  /// The packed weight of a step, null when its kernel takes the weight as it is.
  const std::byte* packed(std::size_t step) const { return packed_[step].get(); }

 private:
  std::shared_ptr<const Graph> graph_;
  plan::Plan plan_;
  std::vector<Bytes> literals_;  // by value
  std::vector<Bytes> packed_;    // by step
  std::vector<Bytes> reals_;     // by value: constants that the model stores in another form
};

}  // namespace konv::run
