#include "engine/run/network.h"

#include <algorithm>
#include <utility>

#include "engine/graph/images.h"
#include "engine/graph/infer.h"
#include "engine/run/context.h"

namespace konv::run {

std::map<ValueId, Dims> by_value(const Graph& graph, const std::vector<Dims>& input_shapes) {
  std::map<ValueId, Dims> shapes;
  for (std::size_t i = 0; i < input_shapes.size(); ++i) shapes[graph.inputs()[i]] = input_shapes[i];
  return shapes;
}

Network::Network(Graph graph) : graph_(std::make_shared<const Graph>(std::move(graph))) {
  const std::vector<ValueId> deciding = konv::shape_inputs(*graph_);
  for (std::size_t i = 0; i < graph_->inputs().size(); ++i) {
    if (std::find(deciding.begin(), deciding.end(), graph_->inputs()[i]) != deciding.end()) shape_inputs_.push_back(i);
  }
  independent_images_ = shape_inputs_.empty() && konv::has_independent_images(*graph_);
}

std::shared_ptr<const Executable> Network::executable(const std::vector<Dims>& input_shapes, const Machine& machine,
                                                      const plan::Options& options, const std::vector<Tensor>& shape_values) {
  Key key{input_shapes,
          {},
          {static_cast<std::int64_t>(machine.isa), options.memory_limit, options.threads, options.arenas, options.spare_memory},
          options.pipelines,
          options.bfloat16,
          options.max_error,
          options.asked_for};
  std::map<ValueId, Tensor> values;
  for (std::size_t i = 0; i < shape_values.size(); ++i) {
    const Tensor& value = shape_values[i];
    key.shape_values.emplace_back(value.bytes.get(), value.bytes.get() + value.size_bytes());
    values[graph_->inputs()[shape_inputs_[i]]] = value;
  }
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const Executable>& entry = executables_[key];
  if (!entry) {
    plan::Plan plan = plan::make(*graph_, by_value(*graph_, input_shapes), machine, options, values);
    entry = std::make_shared<Executable>(graph_, std::move(plan), packed_);
  }
  return entry;
}

std::shared_ptr<CudaWeights> Network::cuda_weights(const CudaDevice& device) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<CudaWeights>& entry = cuda_weights_[device.number];
  if (!entry) entry = std::make_shared<CudaWeights>(device);
  return entry;
}

std::vector<Tensor> evaluate(const Graph& graph) {
  Network network(graph);
  Context context(network.executable({}, Machine::typical(Isa::portable), {}), 1);
  context.run(nullptr);
  std::vector<Tensor> outputs;
  const plan::Plan& plan = context.executable().plan();
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    const plan::Value& value = plan.values[static_cast<std::size_t>(plan.outputs[i])];
    MutableTensor tensor(value.layout.dtype, value.dims);
    context.get_output(i, tensor.bytes.get());
    outputs.push_back(tensor);
  }
  return outputs;
}

}  // namespace konv::run
