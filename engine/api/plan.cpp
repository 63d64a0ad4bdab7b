#include "engine/api/device_choice.h"
#include "engine/api/model_impl.h"
#include "engine/api/tuning.h"
#include "engine/plan/json.h"
#include "engine/run/cuda/device_plan.h"

namespace konv {

std::string Model::plan(const SessionOptions& options, const std::vector<std::vector<std::int64_t>>& input_shapes, int threads) const {
  const Graph& graph = impl_->graph();
  const std::vector<Dims> shapes = input_shapes.empty() ? api::smallest_shapes(graph) : input_shapes;
  if (shapes.size() != graph.inputs().size())
    throw Error("plan: shapes for " + std::to_string(shapes.size()) + " inputs given; expected " + std::to_string(graph.inputs().size()));
  if (std::optional<api::GpuChoice> gpu = api::choose_gpu_for(graph, shapes, options)) {
    const std::map<ValueId, Dims> by_value = run::by_value(graph, shapes);
    return plan::to_json(gpu->device ? run::plan_for(graph, by_value, gpu->target, *gpu->device)
                                     : plan::make_for_cuda(graph, by_value, gpu->target));
  }
  const Machine machine = api::machine_for(options.isa);
  plan::Options plan_options{.memory_limit = options.memory_limit, .max_error = options.max_error};
  if (options.tune != "off" || !options.plan_file.empty()) {
    ThreadPool pool(threads);
    plan_options.asked_for = api::tuned_kernels(*impl_->network, describe(), shapes, machine, options, &pool);
  }
  return plan::to_json(plan::make(graph, run::by_value(graph, shapes), machine, plan_options));
}

}  // namespace konv
