#include <algorithm>
#include <variant>

#include <konv/error.hpp>

#include "engine/plan/lower.h"

namespace konv::plan {
namespace {

/// Values that some step has to produce: read on the way to an output and not worked out by shape inference.
std::vector<bool> needed_values(const Graph& graph, const Builder& builder, const std::vector<NodeId>& order) {
  std::vector<bool> needed(static_cast<std::size_t>(graph.value_count()));
  const auto mark = [&](ValueId id) {
    if (id && !graph.constant(id) && !builder.is_literal(id)) needed[static_cast<std::size_t>(id.index)] = true;
  };
  for (ValueId id : graph.outputs()) mark(id);
  for (std::size_t i = order.size(); i-- > 0;) {
    const Node& node = graph.node(order[i]);
    const bool runs =
        std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return v && needed[static_cast<std::size_t>(v.index)]; });
    if (!runs) continue;
    for (ValueId id : node.inputs) mark(id);
  }
  return needed;
}

void check_sizes(const Graph& graph, const std::vector<Fact>& facts, const std::vector<bool>& needed) {
  for (int v = 0; v < graph.value_count(); ++v) {
    const auto i = static_cast<std::size_t>(v);
    if (!needed[i]) continue;
    if (facts[i].shape && fully_known(*facts[i].shape)) {
      if (std::ssize(*facts[i].shape) > kMaxRank)
        throw Error(
            fmt::format("value '{}': has {} dimensions; expected at most {}", graph.value({v}).name, facts[i].shape->size(), kMaxRank));
      continue;
    }
    throw Error(fmt::format("value '{}': its shape ({}) does not follow from the input shapes; expected sizes known before running",
                            graph.value({v}).name, facts[i].shape ? to_string(*facts[i].shape) : "unknown"));
  }
}

/// `machine`, told how many weights pass by in every run.
Machine with_weights_of(const Graph& graph, Machine machine) {
  machine.network_weights = 0;
  for (int v = 0; v < graph.value_count(); ++v) {
    if (const Tensor* constant = graph.constant({v}); constant && graph.reader_count({v}) > 0)
      machine.network_weights += constant->size_bytes();
  }
  return machine;
}

}  // namespace

void lower(Builder& builder, NodeId id) {
  const Node& node = builder.graph.node(id);
  if (lower_integers(builder, id, node)) return;
  std::visit([&](const auto& op) { lower(builder, id, node, op); }, node.op);
}

std::int64_t held_bytes(const Plan& plan, std::int64_t arenas, std::int64_t threads) {
  std::int64_t weights = 0;
  for (const Value& value : plan.values) weights += value.storage == Storage::constant ? value.bytes : 0;
  return weights + plan.packed_bytes + arenas * plan.arena_bytes + threads * plan.workspace_bytes;
}

Plan make(const Graph& graph, const std::map<ValueId, Dims>& input_shapes, const Machine& machine, const Options& options,
          const std::map<ValueId, Tensor>& input_values) {
  std::vector<Fact> facts = infer(graph, input_shapes, input_values);
  const std::vector<NodeId> order = graph.nodes();
  const Machine here = with_weights_of(graph, machine);
  Builder builder(graph, facts, here, options);
  const std::vector<bool> needed = needed_values(graph, builder, order);
  check_sizes(graph, facts, needed);
  for (ValueId input : graph.inputs()) builder.define_input(input);
  for (NodeId id : order) {
    const Node& node = graph.node(id);
    if (std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return v && needed[static_cast<std::size_t>(v.index)]; }))
      lower(builder, id);
  }
  Plan plan = builder.finish();
  const std::int64_t held = held_bytes(plan, options.arenas, options.threads);
  if (options.memory_limit == 0 || held <= options.memory_limit) return plan;
  if (options.spare_memory) {
    const std::int64_t arenas = plan.arena_bytes * options.arenas, workspaces = plan.workspace_bytes * options.threads;
    throw Error(fmt::format(
        "--memory-limit {}: the network takes {} bytes (weights {}, packed {}, arenas {}, workspace {}); expected a limit of at least that",
        options.memory_limit, held, held - plan.packed_bytes - arenas - workspaces, plan.packed_bytes, arenas, workspaces));
  }
  Options spare = options;
  spare.spare_memory = true;
  return make(graph, input_shapes, machine, spare, input_values);
}

const char* family(const Work& work) {
  constexpr const char* kNames[] = {"conv",     "conv_transpose", "gemm",         "pool",       "unary",       "binary",      "batch_norm",
                                    "softmax",  "reduce",         "copy",         "gather",     "cast",        "reorder",     "halo",
                                    "window",   "select",         "range",        "normalize",  "lrn",         "topk",        "resize",
                                    "quantize", "integer_gemm",   "integer_conv", "requantize", "integer_add", "integer_pool"};
  static_assert(std::size(kNames) == std::variant_size_v<Work>);
  return kNames[work.index()];
}

}  // namespace konv::plan
