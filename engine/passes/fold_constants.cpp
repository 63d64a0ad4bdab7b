// fold-constants:  constants -> node -> y   =>   constant y
//
// Values come from shape inference where it knows them (shape arithmetic, even behind an input of unknown batch size), else from running the
// node once through Context::evaluate. Quantized and pruned constants stay as they are: they exist to be small. So do the integers of a weight that is
// dequantized: it becomes a quantized constant.

#include <algorithm>

#include <konv/error.hpp>

#include "engine/passes/list.h"
#include "engine/passes/quantized.h"

namespace konv::passes {

namespace {

// A small file must not become a large one: ConstantOfShape and Expand make anything out of a few numbers.
constexpr std::int64_t kAlwaysAllowedBytes = 64 << 10, kNeverAllowedBytes = 64 << 20, kAllowedGrowth = 16;

/// The elements of an int64 value that shape inference knows all of.
std::optional<Tensor> known_integers(const Graph& graph, ValueId id, const Context& context) {
  if (static_cast<std::size_t>(id.index) >= context.facts.size()) return {};
  const Fact& fact = context.facts[static_cast<std::size_t>(id.index)];
  if (fact.dtype != DType::int64 || !fact.ints || !fact.shape || !fully_known(*fact.shape) || !fully_known(*fact.ints)) return {};
  if (graph.value(id).quantization) return {};
  return make_i64(to_dims(*fact.shape), to_dims(*fact.ints));
}

bool is_plain_constant(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  return value.constant && !value.quantization && !value.kept_rows;
}

/// Whether the result is of a size worth keeping.
bool is_modest(const Graph& graph, const Node& node) {
  const Value& result = graph.value(node.output());
  if (!result.shape || !fully_known(*result.shape)) return false;
  std::int64_t read = 0, written = 0;
  try {
    written = storage_bytes(result.dtype, element_count(to_dims(*result.shape)));
  } catch (const Error&) {
    return false;  // more elements than can be counted
  }
  for (const ValueId input : node.inputs) read += input ? graph.value(input).constant->size_bytes() : 0;
  return written <= kNeverAllowedBytes && written <= std::max(kAlwaysAllowedBytes, kAllowedGrowth * read);
}

/// The node's result, computed by running it alone.
std::optional<Tensor> evaluated(const Graph& graph, const Node& node, const Context& context) {
  Graph alone;
  std::vector<ValueId> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(input ? alone.add_constant(graph.value(input).name, *graph.constant(input)) : ValueId{});
  }
  alone.add_output(alone.add(node.name, node.op, inputs));
  try {
    verify(alone);
    return context.evaluate(alone).at(0);
  } catch (const Error&) {
    return {};  // what cannot be run alone stays: running the whole graph says why
  }
}

}  // namespace

std::optional<Edit> fold_constants(const Graph& graph, NodeId id, const Context& context) {
  const Node& node = graph.node(id);
  if (node.outputs.size() != 1) return {};
  const ValueId output = node.output();
  if (graph.is_output(output)) return {};  // outputs are computed by nodes
  if (std::optional<Edit> stored = store_weight(graph, id)) return stored;

  std::optional<Tensor> result = known_integers(graph, output, context);
  if (!result && context.evaluate) {
    if (graph.value(output).quantization) return {};  // its scale would be lost
    const bool all_constant =
        std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return !v || is_plain_constant(graph, v); });
    if (!all_constant || !is_modest(graph, node)) return {};
    result = evaluated(graph, node, context);
  }
  if (!result || result->dtype != graph.value(output).dtype) return {};

  Edit edit(graph);
  edit.redirect(output, edit.constant(graph.value(output).name + ".folded", *result));
  return edit;
}

}  // namespace konv::passes
