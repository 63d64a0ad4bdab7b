// What the tests of all passes do: run passes, compare results before and after, count operators.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <konv/error.hpp>
#include <string_view>

#include "engine/passes/passes.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {

inline const passes::Context kByReference{.evaluate = [](const Graph& graph) { return run_reference(graph, {}); }};

inline std::vector<passes::Report> run_passes(Graph& graph, std::string_view list) {
  return passes::run(graph, passes::select(list), kByReference);
}

template <class T>
int count(const Graph& graph) {
  const std::vector<NodeId> nodes = graph.nodes();
  return static_cast<int>(std::count_if(nodes.begin(), nodes.end(), [&](NodeId id) { return graph.as<T>(id) != nullptr; }));
}

inline int count_nodes(const Graph& graph) { return static_cast<int>(graph.nodes().size()); }

/// The living node called so.
inline const Node& find_node(const Graph& graph, std::string_view name) {
  for (const NodeId id : graph.nodes()) {
    if (graph.node(id).name == name) return graph.node(id);
  }
  FAIL("no node called " << name);
  return graph.node(NodeId{});
}

/// Same inputs and outputs by name, shape and value.
inline void check_same_results(const Graph& before, const Graph& after) {
  const auto names = [](const Graph& graph, const std::vector<ValueId>& ids) {
    std::vector<std::string> list;
    for (const ValueId id : ids) list.push_back(graph.value(id).name);
    return list;
  };
  CHECK(names(before, before.inputs()) == names(after, after.inputs()));
  CHECK(names(before, before.outputs()) == names(after, after.outputs()));
  Rng rng(99);
  const auto inputs = random_inputs(rng, before);
  const std::vector<Tensor> expected = run_reference(before, inputs), found = run_reference(after, inputs);
  REQUIRE(expected.size() == found.size());
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK_CLOSE(found[i], expected[i], tolerance(DType::float32, 100));
}

/// Runs the passes, which must fire and keep the results. Returns the lines of their reports.
inline std::vector<std::string> check_fires(Graph& graph, std::string_view list) {
  const Graph before = graph;
  std::vector<std::string> lines;
  for (const passes::Report& report : run_passes(graph, list)) lines.insert(lines.end(), report.fired.begin(), report.fired.end());
  CHECK_MESSAGE(!lines.empty(), list << " did not fire");
  check_same_results(before, graph);
  return lines;
}

/// Runs the passes, which must leave the graph alone.
inline void check_does_not_fire(Graph graph, std::string_view list) {
  const int nodes = count_nodes(graph);
  for (const passes::Report& report : run_passes(graph, list)) {
    CHECK_MESSAGE(report.fired.empty(), report.pass << " fired: " << report.fired.front());
  }
  CHECK(count_nodes(graph) == nodes);
  CHECK(graph.metadata.passes.empty());
}

/// A graph with an image "x" of 4 channels, and its random weights.
struct Bench {
  Graph graph;
  Rng rng{11};
  ValueId x;

  explicit Bench(std::int64_t channels = 4, std::int64_t size = 7) { x = graph.add_input("x", DType::float32, {1, channels, size, size}); }

  ValueId conv(const std::string& name, ValueId input, const ConvOptions& options = {.pads = {1, 1, 1, 1}}, std::int64_t in = 4,
               std::int64_t out = 4) {
    return add_conv(graph, rng, name, input, in, out, options);
  }
  ValueId norm(const std::string& name, ValueId input, std::int64_t channels = 4) {
    return add_batch_norm(graph, rng, name, input, channels);
  }
  ValueId relu(const std::string& name, ValueId input) { return add_relu(graph, name, input); }
  ValueId add(const std::string& name, ValueId a, ValueId b) { return add_sum(graph, name, a, b); }
  ValueId constant(const std::string& name, Dims dims) { return graph.add_constant(name, random_tensor(rng, std::move(dims))); }
  void output(ValueId value) { graph.add_output(value); }
};

}  // namespace konv::test
