#include "engine/run/network.h"

#include "engine/run/context.h"

namespace konv::run {

std::map<ValueId, Dims> by_value(const Graph& graph, const std::vector<Dims>& input_shapes) {
  std::map<ValueId, Dims> shapes;
  for (std::size_t i = 0; i < input_shapes.size(); ++i) shapes[graph.inputs()[i]] = input_shapes[i];
  return shapes;
}

std::shared_ptr<const Executable> Network::executable(const std::vector<Dims>& input_shapes, const Machine& machine,
                                                      const plan::Options& options) {
  const Key key{input_shapes, {static_cast<std::int64_t>(machine.isa), options.memory_limit, options.threads}};
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const Executable>& entry = executables_[key];
  if (!entry) entry = std::make_shared<Executable>(graph_, plan::make(*graph_, by_value(*graph_, input_shapes), machine, options), packed_);
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
