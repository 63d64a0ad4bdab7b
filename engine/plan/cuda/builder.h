// A plan for a GPU under construction. Activations are images (channels_last, in the precision's type); only network inputs and outputs are plain float32.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/graph/infer.h"
#include "engine/plan/choose.h"
#include "engine/plan/cuda/image.h"
#include "engine/plan/cuda/make.h"
#include "kernels/cuda/conv/conv.h"

namespace konv::plan {

/// Thrown while lowering a node: no kernel, and why.
struct NoKernel {
  std::string reason;
};

class CudaBuilder {
 public:
  CudaBuilder(const Graph& graph, std::vector<Fact> facts, const CudaTarget& target);

  const Graph& graph;
  const CudaTarget& target;

  const Dims& dims(ValueId id) const { return dims_[static_cast<std::size_t>(id.index)]; }
  DType dtype(ValueId id) const { return facts_[static_cast<std::size_t>(id.index)].dtype; }
  bool is_literal(ValueId id) const;
  /// Elements of an integer value that must be known when planning; NoKernel when they are not.
  Ints ints(ValueId id) const;
  std::int64_t pitch(const Dims& d) const { return cuda::pitch_of(image_sizes(d).c, target.precision); }
  int element_bytes() const { return cuda::element_bytes(target.precision); }
  const Value& value(int v) const { return plan_.values[static_cast<std::size_t>(v)]; }

  void define_input(ValueId id);
  /// The value as an image: itself, a converted network input (once), or a constant under dimensions aligned to `rank`. -1 for an absent input.
  int image(ValueId id, std::size_t rank = 0);
  /// The network input as it came, plain float32 in the arena; -1 when the value is none, or of another type.
  int plain_input(ValueId id) const;
  /// A constant of the graph, as it lies there; NoKernel when the value is no constant.
  int constant(ValueId id);
  /// A slot for a node's output.
  int define(ValueId id);
  /// The node's output is the input's memory under other dimensions.
  void alias(ValueId output, int from);
  /// Seconds that converting the value into an image would add; 0 when it is one.
  double convert_seconds(ValueId id) const;

  /// Appends a step; `bytes` of traffic give its cost unless the step is given one.
  template <class W>
  Step& add(NodeId id, W work, const char* kernel, std::vector<int> inputs, int output, double cost) {
    Step step;
    if (id) {
      step.name = graph.node(id).name;
      step.op = display_name(graph.node(id).op);
      step.nodes = {id};
    }
    step.kernel = kernel;
    step.work = std::move(work);
    step.inputs = std::move(inputs);
    step.output = output;
    step.cost = cost;
    plan_.steps.push_back(std::move(step));
    return plan_.steps.back();
  }
  /// What moving these values' bytes once takes.
  double traffic(const std::vector<int>& values) const;

  /// State to go back to when a node turns out to have no kernel.
  struct Mark {
    std::size_t steps, values;
    std::vector<int> images;
  };
  Mark mark() const { return {plan_.steps.size(), plan_.values.size(), images_}; }
  void rewind(const Mark& mark);
  /// The node as a step on the CPU.
  void add_cpu_step(NodeId id, const std::string& reason);

  Plan finish();

 private:
  int new_value(Value value);
  Value image_value(const std::string& name, const Dims& d) const;

  std::vector<Fact> facts_;
  std::vector<Dims> dims_;
  std::vector<int> images_, plain_;  // by ValueId: plan value or -1
  Plan plan_;
};

/// Adds the steps of one node, or throws NoKernel.
void lower_for_cuda(CudaBuilder& b, NodeId id);

}  // namespace konv::plan
