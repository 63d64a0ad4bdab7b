#include "tests/cuda/networks/networks.h"

#include "engine/run/cuda/device_plan.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {

plan::CudaTarget network_target(Precision precision) {
  return {.gpu = *cuda::described_gpu("h200"), .device = "cuda:h200", .precision = precision};
}

std::map<ValueId, Dims> shapes_of(const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  std::map<ValueId, Dims> shapes;
  for (ValueId id : graph.inputs()) shapes[id] = inputs.at(graph.value(id).name).dims;
  return shapes;
}

std::unique_ptr<run::CudaContext> prepare(const Graph& graph, const std::map<ValueId, Dims>& shapes, const plan::CudaTarget& t,
                                          simt::Order order) {
  const run::CudaDevice device = network_device(order);
  plan::CudaTarget target = t;
  plan::Plan plan = run::plan_for(graph, shapes, target, device);
  run::CudaWeights weights(device);
  auto executable = std::make_shared<run::CudaExecutable>(std::make_shared<const Graph>(graph), std::move(plan), t.precision, weights);
  return std::make_unique<run::CudaContext>(std::move(executable));
}

std::vector<Tensor> run_once(run::CudaContext& context, const std::map<std::string, Tensor>& inputs) {
  const Graph& graph = context.executable().graph();
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) context.set_input(i, inputs.at(graph.value(graph.inputs()[i]).name).bytes.get());
  context.run();
  std::vector<Tensor> outputs;
  const plan::Plan& plan = context.executable().plan();
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    MutableTensor tensor(DType::float32, plan.values[static_cast<std::size_t>(plan.outputs[i])].dims);
    context.get_output(i, tensor.bytes.get());
    outputs.push_back(tensor);
  }
  return outputs;
}

/// Kernels that ran.
std::set<std::string> check_against_reference(const Graph& source, unsigned seed, double depth, std::int64_t batch) {
  Graph graph = source;
  verify(graph);
  Rng rng(seed);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, batch);
  const std::vector<Tensor> expected = run_reference(graph, inputs);
  std::set<std::string> kernels;
  for (const Precision precision : kAllPrecisions) {
    const std::string name = cuda::name(precision);
    CAPTURE(name);
    const auto context = prepare(graph, shapes_of(graph, inputs), network_target(precision),
                                 precision == Precision::tf32 ? simt::Order::shuffled : simt::Order::reversed);
    for (int repeat = 0; repeat < (precision == Precision::float16 ? 2 : 1);
         ++repeat) {  // a second run finds the first one's rubbish in the arena
      const std::vector<Tensor> actual = run_once(*context, inputs);
      REQUIRE(actual.size() == expected.size());
      for (std::size_t i = 0; i < actual.size(); ++i) {
        REQUIRE(actual[i].dims == expected[i].dims);
        CHECK_CLOSE(actual[i], expected[i], allowed(precision, depth));
      }
    }
    for (const plan::Step& step : context->executable().plan().steps) kernels.insert(step.kernel);
  }
  return kernels;
}

}  // namespace konv::test
