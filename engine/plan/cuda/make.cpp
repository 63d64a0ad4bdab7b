#include "engine/plan/cuda/make.h"

#include <algorithm>

#include <konv/error.hpp>

#include "engine/plan/cuda/builder.h"

namespace konv::plan {
namespace {

/// Values that some step has to produce: read on the way to an output and not worked out by shape inference.
std::vector<bool> needed_values(const CudaBuilder& b, const std::vector<NodeId>& order) {
  std::vector<bool> needed(static_cast<std::size_t>(b.graph.value_count()));
  const auto mark = [&](ValueId id) {
    if (id && !b.graph.constant(id) && !b.is_literal(id)) needed[static_cast<std::size_t>(id.index)] = true;
  };
  for (ValueId id : b.graph.outputs()) mark(id);
  for (std::size_t i = order.size(); i-- > 0;) {
    const Node& node = b.graph.node(order[i]);
    if (std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return v && needed[static_cast<std::size_t>(v.index)]; }))
      std::for_each(node.inputs.begin(), node.inputs.end(), mark);
  }
  return needed;
}

/// Sizes must be known, and no kernel is launched for nothing.
void check_sizes(const Graph& graph, const std::vector<Fact>& facts, const std::vector<bool>& needed) {
  for (int v = 0; v < graph.value_count(); ++v) {
    const auto i = static_cast<std::size_t>(v);
    if (!needed[i]) continue;
    const std::optional<Shape>& shape = facts[i].shape;
    if (!shape || !fully_known(*shape))
      throw Error(fmt::format("value '{}': its shape ({}) does not follow from the input shapes; expected sizes known before running",
                              graph.value({v}).name, shape ? to_string(*shape) : "unknown"));
    if (element_count(to_dims(*shape)) == 0)
      throw Error(fmt::format("value '{}': is empty ({}); expected at least one element on a GPU, or --device cpu", graph.value({v}).name,
                              to_string(*shape)));
  }
}

void check_memory(const Plan& plan, std::int64_t limit) {
  std::int64_t weights = 0;
  for (const Value& value : plan.values) weights += value.storage == Storage::constant ? value.bytes : 0;
  const std::int64_t total = weights + plan.arena_bytes + plan.workspace_bytes;
  if (limit > 0 && total > limit)
    throw Error(
        fmt::format("--memory-limit {}: the network takes {} bytes on the device (weights {}, arena {}, workspace {}); expected a limit of "
                    "at least that",
                    limit, total, weights, plan.arena_bytes, plan.workspace_bytes));
}

}  // namespace

bool calls_cublas(const Plan& plan) {
  return std::any_of(plan.steps.begin(), plan.steps.end(), [](const Step& step) {
    const cuda::ConvKernel* kernel = cuda::find_conv_kernel(step.kernel);
    return kernel && kernel->calls_cublas();
  });
}

Plan make_for_cuda(const Graph& graph, const std::map<ValueId, Dims>& input_shapes, const CudaTarget& target) {
  const std::vector<Fact> facts = infer(graph, input_shapes);
  CudaBuilder builder(graph, facts, target);
  const std::vector<NodeId> order = graph.nodes();
  const std::vector<bool> needed = needed_values(builder, order);
  check_sizes(graph, facts, needed);
  for (ValueId input : graph.inputs()) builder.define_input(input);
  std::string missing;
  int count = 0;
  for (NodeId id : order) {
    const Node& node = graph.node(id);
    if (std::none_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return v && needed[static_cast<std::size_t>(v.index)]; }))
      continue;
    const CudaBuilder::Mark mark = builder.mark();
    try {
      lower_for_cuda(builder, id);
    } catch (const NoKernel& none) {
      builder.rewind(mark);
      try {
        builder.add_cpu_step(id, none.reason);  // also stands in when it is refused, so that all such nodes are found
      } catch (const NoKernel& neither) {
        throw Error(fmt::format("{}: runs neither on the GPU ({}) nor beside it ({}); expected --device cpu", label(node), none.reason,
                                neither.reason));
      }
      if (!target.fallback_cpu) missing += fmt::format("{}{}: {}", count++ ? "; " : "", label(node), none.reason);
    }
  }
  if (count > 0)
    throw Error(fmt::format("{} without a CUDA kernel: {}; expected --fallback cpu or --device cpu",
                            count == 1 ? "one node" : fmt::format("{} nodes", count), missing));
  Plan plan = builder.finish();
  check_memory(plan, target.memory_limit);
  return plan;
}

}  // namespace konv::plan
