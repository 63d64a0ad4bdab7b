#include <doctest/doctest.h>

#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

namespace {

ValueId identity(Graph& graph, const char* name, ValueId input) { return graph.add(name, Identity{}, {input}); }

std::string order(const Graph& graph) {
  std::string names;
  for (const NodeId id : graph.nodes()) names += (names.empty() ? "" : " ") + graph.node(id).name;
  return names;
}

}  // namespace

TEST_CASE("graph: names are made unique, empty ones filled") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1});
  const ValueId a = identity(graph, "a", x), b = identity(graph, "a", x), c = identity(graph, "", x);
  CHECK(graph.value(a).name == "a");
  CHECK(graph.value(b).name == "a_1");
  CHECK(graph.node(graph.producer(b)).name == "a_1");
  CHECK(graph.node(graph.producer(c)).name == "Identity");
  CHECK(graph.value(graph.add_value("a")).name == "a_2");
  CHECK_FALSE(graph.value(graph.add_value("")).name.empty());
  CHECK(graph.find_value("a_1") == b);
  CHECK_FALSE(graph.find_value("nobody").has_value());
}

TEST_CASE("graph: nodes keep their order where it is one") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1});
  const ValueId a = identity(graph, "a", x);
  identity(graph, "b", x);
  identity(graph, "c", a);
  CHECK(order(graph) == "a b c");
}

TEST_CASE("graph: a node added late moves before its first reader") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1});
  const ValueId late = graph.add_value("late");
  identity(graph, "a", x);
  identity(graph, "b", late);
  identity(graph, "c", x);
  graph.add_node({"d", Identity{}, {x}, {late}});
  CHECK(order(graph) == "a d b c");
}

TEST_CASE("graph: a cycle is an error that names a node on it") {
  Graph graph;
  const ValueId a = graph.add_value("a"), b = graph.add_value("b");
  graph.add_node({"first", Identity{}, {b}, {a}});
  graph.add_node({"second", Identity{}, {a}, {b}});
  const std::string error = error_of([&] { graph.nodes(); });
  CHECK(has(error, "(Identity)"));
  CHECK(has(error, "cycle"));
}

TEST_CASE("graph: producers, readers and their counts") {
  SmallNet net;
  Graph& graph = net.graph;
  const ValueId twice = graph.add("twice", Binary{}, {net.conv, net.conv});
  CHECK(graph.producer_as<Conv>(net.conv) == &graph.node(net.conv_node()));
  CHECK(graph.producer_as<Unary>(net.conv) == nullptr);
  CHECK(graph.producer_as<Conv>(ValueId{}) == nullptr);
  CHECK_FALSE(graph.producer(net.input));
  CHECK(graph.readers(net.conv) == std::vector{net.relu_node(), graph.producer(twice)});
  CHECK(graph.reader_count(net.conv) == 3);
  CHECK(graph.reader_count(net.relu) == 1);
  CHECK(graph.is_output(net.relu));
  CHECK(graph.is_input(net.input));
  CHECK(graph.constant(net.weight) != nullptr);
  CHECK(graph.constant(net.input) == nullptr);
  CHECK(graph.constant(ValueId{}) == nullptr);

  graph.remove_node(graph.producer(twice));
  CHECK(graph.reader_count(net.conv) == 1);
  CHECK_FALSE(graph.producer(twice));
}

TEST_CASE("graph: readers are right after a node was changed by hand") {
  SmallNet net;
  Graph& graph = net.graph;
  graph.mutable_node(net.relu_node()).inputs[0] = net.input;
  CHECK(graph.reader_count(net.conv) == 0);
  CHECK(graph.readers(net.input) == std::vector{net.conv_node(), net.relu_node()});
  graph.refresh_index();
  CHECK(graph.reader_count(net.conv) == 0);
  CHECK(graph.reader_count(net.input) == 2);
  graph.replace_node(net.relu_node(), Identity{}, {net.conv});
  CHECK(graph.reader_count(net.conv) == 1);
  CHECK(graph.reader_count(net.input) == 1);
}

TEST_CASE("graph: redirect moves readers and outputs") {
  SmallNet net;
  Graph& graph = net.graph;
  graph.redirect(net.relu, net.conv);
  CHECK(graph.outputs() == std::vector{net.conv});
  CHECK(graph.reader_count(net.relu) == 0);
  CHECK(graph.reader_count(net.conv) == 2);
}

TEST_CASE("graph: rename_value takes a name from its holder") {
  SmallNet net;
  Graph& graph = net.graph;
  graph.rename_value(net.conv, "relu");
  CHECK(graph.value(net.conv).name == "relu");
  CHECK(graph.find_value("relu") == net.conv);
  CHECK(graph.value(net.relu).name == "relu_1");
  CHECK(graph.find_value("relu_1") == net.relu);
  CHECK_FALSE(graph.find_value("conv").has_value());
}

TEST_CASE("graph: a copy is another graph with the same weights in memory") {
  SmallNet net;
  Graph copy = net.graph;
  copy.remove_node(net.relu_node());
  copy.rename_value(net.conv, "other");
  CHECK(net.graph.alive(net.relu_node()));
  CHECK(net.graph.value(net.conv).name == "conv");
  CHECK(net.graph.reader_count(net.conv) == 1);
  CHECK(copy.reader_count(net.conv) == 0);
  CHECK(copy.constant(net.weight)->bytes == net.graph.constant(net.weight)->bytes);
}

TEST_CASE("graph: compacted closes the holes and keeps the rest") {
  SmallNet net;
  Graph& graph = net.graph;
  graph.name = "small";
  graph.metadata.labels = {"cat"};
  weights(graph, "unused", {1000});
  const ValueId dead = identity(graph, "dead", net.conv);
  graph.remove_node(graph.producer(dead));
  verify(graph);

  const Graph dense = graph.compacted();
  CHECK(dense.name == "small");
  CHECK(dense.metadata.labels == graph.metadata.labels);
  CHECK(dense.value_count() == 4);
  CHECK(dense.node_capacity() == 2);
  CHECK(order(dense) == "conv relu");
  CHECK(dense.value(dense.outputs()[0]).name == "relu");
  CHECK(dense.value(dense.inputs()[0]).name == "x");
  CHECK(dense.constant(*dense.find_value("conv.weight"))->bytes == graph.constant(net.weight)->bytes);
  CHECK(to_string(*dense.value(dense.outputs()[0]).shape) == "Nx4x8x8");
  CHECK(verify_error(dense) == "no error");
}
