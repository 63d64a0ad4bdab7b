#include <algorithm>

#include <nlohmann/json.hpp>

#include "engine/api/device_choice.h"
#include "engine/api/model_impl.h"
#include "engine/api/tuning.h"
#include "engine/plan/json.h"
#include "engine/run/cuda/device_plan.h"
#include "engine/run/slices.h"

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
  ThreadPool pool(threads);
  plan::Options plan_options = api::options_on_cpu(options, pool.threads());
  // As Session does: the plan is that of a slice of the batch.
  const std::int64_t images = shapes.empty() || shapes[0].empty() ? 1 : shapes[0][0];
  const std::int64_t slice = run::best_slice(*impl_->network, shapes, machine, plan_options);
  std::vector<Dims> planned = shapes;
  if (slice < images) {
    for (Dims& dims : planned) dims[0] = slice;
    plan_options.arenas = run::arenas_for(images, slice, pool.threads());
  }
  if (options.tune != "off" || !options.plan_file.empty())
    plan_options.asked_for = api::tuned_kernels(*impl_->network, describe(), planned, machine, options, slice < images ? nullptr : &pool);
  const plan::Plan plan = plan::make(graph, run::by_value(graph, planned), machine, plan_options);
  nlohmann::json json = nlohmann::json::parse(plan::to_json(plan));
  json["batch"] = {{"images", images},
                   {"slice", std::min(slice, images)},
                   {"at_a_time", plan_options.arenas},
                   {"held_bytes", plan::held_bytes(plan, plan_options.arenas, pool.threads())}};
  return json.dump();
}

}  // namespace konv
