// Graphs from untrusted files: everything the rest of the engine relies on is checked here, once, in linear time.
#include "engine/graph/verify.h"

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/text.h"
#include "engine/graph/infer.h"

namespace konv {
namespace {

constexpr int kAnyNumber = INT32_MAX;

/// How many inputs an operator takes: the first `required` must be there.
struct Arity {
  int required = 1, most = 1;
};

template <class T>
constexpr Arity kArity{1, 1};
template <>
constexpr Arity kArity<Conv>{2, 4};
template <>
constexpr Arity kArity<ConvTranspose>{2, 3};
template <>
constexpr Arity kArity<Gemm>{2, 3};
template <>
constexpr Arity kArity<MatMul>{2, 2};
template <>
constexpr Arity kArity<BatchNorm>{5, 5};
template <>
constexpr Arity kArity<Binary>{2, 2};
template <>
constexpr Arity kArity<Where>{3, 3};
template <>
constexpr Arity kArity<LayerNorm>{2, 3};
template <>
constexpr Arity kArity<InstanceNorm>{3, 3};
template <>
constexpr Arity kArity<Reduce>{1, 2};
template <>
constexpr Arity kArity<TopK>{2, 2};
template <>
constexpr Arity kArity<Squeeze>{1, 2};
template <>
constexpr Arity kArity<Unsqueeze>{1, 2};
template <>
constexpr Arity kArity<Tile>{2, 2};
template <>
constexpr Arity kArity<Arange>{3, 3};
template <>
constexpr Arity kArity<Resize>{1, 4};
template <>
constexpr Arity kArity<Quantize>{2, 3};
template <>
constexpr Arity kArity<Dequantize>{2, 3};
template <>
constexpr Arity kArity<ConvInteger>{2, 4};
template <>
constexpr Arity kArity<MatMulInteger>{2, 4};
template <>
constexpr Arity kArity<Concat>{1, kAnyNumber};
template <>
constexpr Arity kArity<Pad>{2, 4};
template <>
constexpr Arity kArity<Slice>{3, 5};
template <>
constexpr Arity kArity<Reshape>{2, 2};
template <>
constexpr Arity kArity<Gather>{2, 2};
template <>
constexpr Arity kArity<Expand>{2, 2};

Arity arity(const Op& op) {
  return std::visit([]<class T>(const T&) { return kArity<T>; }, op);
}

std::string expected_inputs(const Arity& arity) {
  if (arity.most == kAnyNumber) return fmt::format("{} or more", arity.required);
  return arity.required == arity.most ? std::to_string(arity.most) : fmt::format("{} to {}", arity.required, arity.most);
}

std::string value_label(const Value& value) { return fmt::format("value '{}'", printable(value.name)); }

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph), sources_(static_cast<std::size_t>(graph.value_count())) {}

  void run() {
    for (int i = 0; i < graph_.value_count(); ++i) check_value(ValueId{i});
    for (const ValueId id : graph_.inputs()) check_input(id);
    for (int i = 0; i < graph_.node_capacity(); ++i) {
      if (graph_.alive(NodeId{i})) check_node(NodeId{i});
    }
    for (int i = 0; i < graph_.node_capacity(); ++i) {
      if (graph_.alive(NodeId{i})) check_reads(graph_.node(NodeId{i}));
    }
    if (graph_.outputs().empty()) throw Error("graph: has no outputs; expected at least one");
    for (const ValueId id : graph_.outputs()) check_output(id);
  }

 private:
  enum class Source : char { none, constant, input, node };

  bool exists(ValueId id) const { return id && id.index < graph_.value_count(); }
  Source& source(ValueId id) { return sources_[static_cast<std::size_t>(id.index)]; }

  void check_value(ValueId id) {
    const Value& value = graph_.value(id);
    verify_value(value);
    if (value.constant) source(id) = Source::constant;
  }

  void check_input(ValueId id) {
    if (!exists(id)) throw Error(fmt::format("graph: input is value {}; expected one of {} values", id.index, graph_.value_count()));
    const Value& value = graph_.value(id);
    const std::string who = fmt::format("input '{}'", printable(value.name));
    if (source(id) == Source::constant) throw Error(who + ": is a constant too; expected one or the other");
    if (source(id) == Source::input) throw Error(who + ": is listed twice; expected each input once");
    if (!value.shape) throw Error(who + ": has no shape; expected one, with symbols where sizes vary");
    for (const Dim& size : *value.shape) {
      if (size.known() && size.value() < 1)
        throw Error(fmt::format("{}: shape is {}; expected sizes from 1", who, to_string(*value.shape)));
    }
    source(id) = Source::input;
  }

  void check_node(NodeId id) {
    const Node& node = graph_.node(id);
    check_inputs(node);
    if (node.outputs.size() != 1) throw Error(fmt::format("{}: {} outputs; expected 1", label(node), node.outputs.size()));
    const ValueId output = node.output();
    if (!exists(output)) {
      throw Error(fmt::format("{}: output is value {}; expected one of {} values", label(node), output.index, graph_.value_count()));
    }
    const char* other = nullptr;
    if (source(output) == Source::constant) other = "a constant";
    if (source(output) == Source::input) other = "a graph input";
    if (source(output) == Source::node) other = "the output of another node";
    if (other)
      throw Error(
          fmt::format("{}: writes {}, which is {}; expected a value of its own", label(node), value_label(graph_.value(output)), other));
    source(output) = Source::node;
    verify_attributes(node);
  }

  void check_inputs(const Node& node) const {
    const Arity takes = arity(node.op);
    const std::size_t count = node.inputs.size();
    if (count < static_cast<std::size_t>(takes.required) || count > static_cast<std::size_t>(takes.most)) {
      throw Error(fmt::format("{}: {} inputs; expected {}", label(node), count, expected_inputs(takes)));
    }
    const bool all = takes.most == kAnyNumber;
    for (std::size_t i = 0; i < count; ++i) {
      const ValueId input = node.inputs[i];
      const bool optional = !all && i >= static_cast<std::size_t>(takes.required);
      if (input == ValueId{} && optional) continue;
      if (input == ValueId{}) throw Error(fmt::format("{}: input {} is absent; expected a value", label(node), i));
      if (!exists(input)) {
        throw Error(fmt::format("{}: input {} is value {}; expected one of {} values", label(node), i, input.index, graph_.value_count()));
      }
      const bool conv_weight = std::holds_alternative<Conv>(node.op) && i == Conv::kWeight;
      if (graph_.value(input).kept_rows && !conv_weight) {
        throw Error(fmt::format("{}: input {} is a pruned weight; expected only convolutions to read those", label(node), i));
      }
    }
  }

  void check_reads(const Node& node) {
    for (const ValueId input : node.inputs) {
      if (input && source(input) == Source::none) {
        throw Error(fmt::format("{}: reads {}, which nothing produces; expected an input, a constant or a node's output", label(node),
                                value_label(graph_.value(input))));
      }
    }
  }

  void check_output(ValueId id) {
    if (!exists(id)) throw Error(fmt::format("graph: output is value {}; expected one of {} values", id.index, graph_.value_count()));
    if (source(id) == Source::none) {
      throw Error(fmt::format("output '{}': nothing produces it; expected a node's output, an input or a constant",
                              printable(graph_.value(id).name)));
    }
  }

  const Graph& graph_;
  std::vector<Source> sources_;
};

}  // namespace

void verify(Graph& graph) {
  Verifier(graph).run();
  graph.refresh_index();
  infer_shapes(graph);  // finds cycles, too
  for (int i = 0; i < graph.value_count(); ++i) verify_quantization_axis(graph.value(ValueId{i}));
}

}  // namespace konv
