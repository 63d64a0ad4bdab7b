#include "engine/graph/infer.h"

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/checked.h"
#include "engine/base/text.h"
#include "engine/graph/infer_node.h"
#include "kernels/base/tensor_view.h"

namespace konv {
namespace {

/// Integers remembered over the whole graph: a bound for files that are made to fill the memory.
constexpr std::size_t kMostIntsTogether = std::size_t{1} << 20;

using Symbols = std::map<std::string, std::int64_t>;

std::string input_label(const Value& value) { return fmt::format("input '{}'", printable(value.name)); }

/// The declared shape with `given` in its place, and what its symbols stand for.
void bind(const Value& input, const Dims& given, Symbols& symbols) {
  const Shape& declared = *input.shape;
  const auto refuse = [&] {
    throw Error(fmt::format("{}: shape {} given; expected {}", input_label(input), to_string(given), to_string(declared)));
  };
  if (given.size() != declared.size()) refuse();
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i] < 0) throw Error(fmt::format("{}: shape {} given; expected sizes from 0", input_label(input), to_string(given)));
    if (declared[i].known() && declared[i].value() != given[i]) refuse();
    if (declared[i].known() || declared[i].symbol().empty()) continue;
    const auto [bound, fresh] = symbols.emplace(declared[i].symbol(), given[i]);
    if (!fresh && bound->second != given[i]) {
      throw Error(fmt::format("{}: shape {} given; expected {} with {} = {} as in another place", input_label(input), to_string(given),
                              to_string(declared), printable(declared[i].symbol()), bound->second));
    }
  }
}

Fact constant_fact(const Tensor& tensor);

Shape bound_shape(const Shape& declared, const Dims* given, const Symbols& symbols) {
  if (given) return to_shape(*given);
  Shape shape = declared;
  for (Dim& dim : shape) {
    if (dim.known()) continue;
    const auto found = symbols.find(dim.symbol());
    if (found != symbols.end()) dim = found->second;
  }
  return shape;
}

void infer_inputs(const Graph& graph, const std::map<ValueId, Dims>& given, const std::map<ValueId, Tensor>& values,
                  std::vector<Fact>& facts) {
  Symbols symbols;
  for (const ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    if (!value.shape) throw Error(input_label(value) + ": has no shape; expected one, with symbols where sizes vary");
    const auto found = given.find(id);
    if (found != given.end()) bind(value, found->second, symbols);
  }
  for (const auto& [id, dims] : given) {
    if (!graph.is_input(id))
      throw Error(fmt::format("shape {} given for value {}; expected an input of the graph", to_string(dims), id.index));
  }
  for (const ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    const auto found = given.find(id);
    facts[static_cast<std::size_t>(id.index)] = {
        value.dtype, bound_shape(*value.shape, found == given.end() ? nullptr : &found->second, symbols), {}, {}};
    const auto elements = values.find(id);
    if (elements != values.end()) facts[static_cast<std::size_t>(id.index)] = constant_fact(elements->second);
  }
}

Fact constant_fact(const Tensor& tensor) {
  Fact fact{tensor.dtype, to_shape(tensor.dims), {}, {}};
  const bool real = is_float(tensor.dtype);
  const std::size_t most = real ? kMostReals : kMostInts;
  if (tensor.dims.size() > 1 || bits(tensor.dtype) < 8 || tensor.count() > static_cast<std::int64_t>(most)) return fact;
  if (real) {
    fact.reals = to_f64(tensor);
  } else {
    const std::vector<std::int64_t> values = to_i64(tensor);
    fact.ints.emplace(values.begin(), values.end());
  }
  return fact;
}

/// Input slots whose elements, not just sizes, shape inference reads.
bool is_shape_slot(const Op& op, std::size_t slot) {
  const auto at_least = [&](int first) { return static_cast<int>(slot) >= first; };
  return std::visit(
      [&]<class T>(const T&) {
        if constexpr (std::is_same_v<T, Reshape>) return at_least(T::kShape);
        if constexpr (std::is_same_v<T, Expand>) return at_least(T::kShape);
        if constexpr (std::is_same_v<T, Slice>) return at_least(T::kStarts);
        if constexpr (std::is_same_v<T, Pad>) return static_cast<int>(slot) == T::kPads || at_least(T::kAxes);
        if constexpr (std::is_same_v<T, Tile>) return at_least(T::kRepeats);
        if constexpr (std::is_same_v<T, TopK>) return at_least(T::kK);
        if constexpr (std::is_same_v<T, Resize>) return at_least(T::kRoi);
        if constexpr (std::is_same_v<T, Reduce> || std::is_same_v<T, Squeeze> || std::is_same_v<T, Unsqueeze>) return at_least(T::kAxes);
        return std::is_same_v<T, ConstantOfShape> || std::is_same_v<T, Arange>;
      },
      op);
}

/// Sizes that no tensor has, ranks that no kernel takes.
void check_size(const NodeFacts& node, const Shape& shape) {
  if (shape.size() > static_cast<std::size_t>(kMaxRank)) {
    node.fail(fmt::format("result has {} dimensions", shape.size()), fmt::format("at most {}", kMaxRank));
  }
  std::int64_t count = 1;
  for (const Dim& dim : shape) {
    if (!dim.known() || dim.value() == 0) continue;
    if (dim.value() < 0 || dim.value() >= kMostElements || (count *= dim.value()) >= kMostElements) {
      node.fail("result is " + to_string(shape), "sizes from 0 and fewer than 2^40 elements");
    }
  }
}

Fact infer_node(const Graph& graph, const Node& node, const std::vector<Fact>& facts) {
  const NodeFacts known(graph, node, facts);
  try {
    Fact fact = std::visit([&](const auto& op) { return infer_op(op, known); }, node.op);
    if (fact.shape) check_size(known, *fact.shape);
    return fact;
  } catch (const Overflow&) {
    known.fail("sizes do not fit 64 bits", "fewer than 2^40 elements");
  }
}

}  // namespace

std::vector<ValueId> shape_inputs(const Graph& graph) {
  std::vector<bool> decides(static_cast<std::size_t>(graph.value_count()));
  const std::vector<NodeId> order = graph.nodes();
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    const Node& node = graph.node(*id);
    const bool needed = decides[static_cast<std::size_t>(node.output().index)];
    for (std::size_t slot = 0; slot < node.inputs.size(); ++slot) {
      const bool by_value = needed && !std::holds_alternative<ShapeOf>(node.op);  // ShapeOf reads sizes only
      if (node.inputs[slot] && (by_value || is_shape_slot(node.op, slot)))
        decides[static_cast<std::size_t>(node.inputs[slot].index)] = true;
    }
  }
  std::vector<ValueId> inputs;
  for (const ValueId id : graph.inputs()) {
    const std::optional<Shape>& shape = graph.value(id).shape;
    if (decides[static_cast<std::size_t>(id.index)] && shape && shape->size() <= 1) inputs.push_back(id);
  }
  return inputs;
}

std::vector<Fact> infer(const Graph& graph, const std::map<ValueId, Dims>& input_shapes, const std::map<ValueId, Tensor>& input_values) {
  std::vector<Fact> facts(static_cast<std::size_t>(graph.value_count()));
  std::size_t ints = 0;
  const auto record = [&](ValueId id, Fact fact) {
    if (fact.ints) ints += fact.ints->size();
    if (ints > kMostIntsTogether) fact.ints.reset();
    facts[static_cast<std::size_t>(id.index)] = std::move(fact);
  };
  for (int i = 0; i < graph.value_count(); ++i) {
    if (const Tensor* constant = graph.constant(ValueId{i})) record(ValueId{i}, constant_fact(*constant));
  }
  infer_inputs(graph, input_shapes, input_values, facts);
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    Fact fact = infer_node(graph, node, facts);
    const Value& output = graph.value(node.output());
    if (output.quantization) fact.dtype = output.dtype;  // integers that stand for the real numbers inferred
    record(node.output(), std::move(fact));
  }
  return facts;
}

void extend(const Graph& graph, std::vector<Fact>& facts) {
  const std::size_t known = facts.size();
  facts.resize(static_cast<std::size_t>(graph.value_count()));
  for (std::size_t v = known; v < facts.size(); ++v) {
    const ValueId id{static_cast<std::int32_t>(v)};
    const Value& value = graph.value(id);
    if (value.constant) {
      facts[v] = constant_fact(*value.constant);
    } else if (const NodeId producer = graph.producer(id)) {
      facts[v] = infer_node(graph, graph.node(producer), facts);
    } else {
      facts[v] = {value.dtype, value.shape, {}, {}};
    }
  }
}

void infer_shapes(Graph& graph) {
  std::vector<Fact> facts = infer(graph);
  for (int i = 0; i < graph.value_count(); ++i) {
    Fact& fact = facts[static_cast<std::size_t>(i)];
    Value& value = graph.value(ValueId{i});
    if (!graph.producer(ValueId{i}) && !value.constant) continue;  // inputs say themselves; values nobody produces have nothing to say
    value.dtype = fact.dtype;
    value.shape = std::move(fact.shape);
  }
}

}  // namespace konv
