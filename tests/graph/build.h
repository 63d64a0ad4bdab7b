// Small graphs for the tests of this folder.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <konv/error.hpp>

#include "engine/graph/graph.h"
#include "engine/graph/infer.h"

namespace konv::test {

inline Dim sym(const char* name) { return Dim::symbol(name); }

inline ValueId weights(Graph& graph, const char* name, Dims dims, DType dtype = DType::float32) {
  return graph.add_constant(name, MutableTensor(dtype, std::move(dims)));
}

inline ValueId ints(Graph& graph, const char* name, const std::vector<std::int64_t>& values) {
  return graph.add_constant(name, make_i64({static_cast<std::int64_t>(values.size())}, values));
}

inline ValueId scalar(Graph& graph, const char* name, std::int64_t value) { return graph.add_constant(name, make_i64({}, {&value, 1})); }

inline Window window(Ints strides, Ints pads, Ints dilations = {}) { return {std::move(strides), std::move(pads), std::move(dilations)}; }

inline const Fact& fact_of(const std::vector<Fact>& facts, ValueId id) { return facts[static_cast<std::size_t>(id.index)]; }

/// "Nx16x32x32" as infer() finds it; "unknown rank" for no shape.
inline std::string inferred(const Graph& graph, ValueId id, const std::map<ValueId, Dims>& inputs = {}) {
  const std::vector<Fact> facts = infer(graph, inputs);
  return fact_of(facts, id).shape ? to_string(*fact_of(facts, id).shape) : "unknown rank";
}

/// The elements that infer() knows, "Nx64"; "unknown" for none.
inline std::string inferred_ints(const Graph& graph, ValueId id) {
  const std::vector<Fact> facts = infer(graph);
  return fact_of(facts, id).ints ? to_string(*fact_of(facts, id).ints) : "unknown";
}

/// What `action` throws, or "no error".
template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

inline std::string verify_error(Graph graph) {
  return error_of([&] { verify(graph); });
}

inline bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/// x [N, 3, 8, 8] -> conv (3x3, 4 channels) -> relu -> output
struct SmallNet {
  Graph graph;
  ValueId input, weight, conv, relu;

  SmallNet() {
    input = graph.add_input("x", DType::float32, {sym("N"), 3, 8, 8});
    weight = weights(graph, "conv.weight", {4, 3, 3, 3});
    conv = graph.add("conv", Conv{window({1, 1}, {1, 1, 1, 1})}, {input, weight});
    relu = graph.add("relu", Unary{{ActivationKind::relu}}, {conv});
    graph.add_output(relu);
  }
  NodeId conv_node() const { return graph.producer(conv); }
  NodeId relu_node() const { return graph.producer(relu); }
};

}  // namespace konv::test
