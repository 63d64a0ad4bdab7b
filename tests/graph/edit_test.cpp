#include <doctest/doctest.h>

#include "engine/graph/edit.h"
#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

TEST_CASE("edit: an operator replaced keeps name, outputs and ids") {
  SmallNet net;
  Edit edit(net.graph);
  const ValueId bias = edit.constant("conv.bias", MutableTensor(DType::float32, {4}));
  edit.replace(net.conv_node(), Conv{window({1, 1}, {1, 1, 1, 1})}, {net.input, net.weight, bias});
  const NodeId conv = net.conv_node();
  apply(net.graph, edit);
  CHECK(net.conv_node() == conv);
  CHECK(net.graph.node(conv).name == "conv");
  CHECK(net.graph.node(conv).input(Conv::kBias) == bias);
  CHECK(net.graph.value(bias).name == "conv.bias");
  CHECK(net.graph.reader_count(bias) == 1);
  CHECK(verify_error(net.graph) == "no error");
}

TEST_CASE("edit: redirecting a graph output hands its name over") {
  SmallNet net;
  const NodeId relu = net.relu_node();
  Edit edit(net.graph);
  edit.replace(net.conv_node(), Conv{.window = window({1, 1}, {1, 1, 1, 1}), .activation = {ActivationKind::relu}},
               {net.input, net.weight});
  edit.redirect(net.relu, net.conv);
  apply(net.graph, edit);
  CHECK_FALSE(net.graph.alive(relu));
  CHECK(net.graph.outputs() == std::vector{net.conv});
  CHECK(net.graph.value(net.conv).name == "relu");
  CHECK(net.graph.find_value("relu") == net.conv);
  CHECK(net.graph.nodes().size() == 1);
  CHECK(verify_error(net.graph) == "no error");
}

TEST_CASE("edit: a node put behind a value reads the value itself") {
  SmallNet net;
  Edit edit(net.graph);
  const ValueId clipped = edit.add("clip", Unary{{ActivationKind::clip, 0, 6}}, {net.conv});
  edit.redirect(net.conv, clipped);
  apply(net.graph, edit);
  CHECK(net.graph.node(net.graph.producer(clipped)).input(0) == net.conv);
  CHECK(net.graph.node(net.relu_node()).input(0) == clipped);
  CHECK(net.graph.value(clipped).name == "clip");
  CHECK(verify_error(net.graph) == "no error");
}

TEST_CASE("edit: constants and nodes may alternate, and build on each other") {
  SmallNet net;
  Edit edit(net.graph);
  const ValueId first = edit.add("first", Unary{{ActivationKind::relu}}, {net.conv});
  const ValueId scale = edit.constant("scale", MutableTensor(DType::float32, {}));
  const ValueId second = edit.add("second", Binary{BinaryKind::mul, {}}, {first, scale});
  edit.redirect(net.relu, second);
  apply(net.graph, edit);
  CHECK(net.graph.constant(scale) != nullptr);
  CHECK(net.graph.outputs() == std::vector{second});
  CHECK(net.graph.value(second).name == "relu");
  CHECK(net.graph.nodes().size() == 3);
  CHECK(verify_error(net.graph) == "no error");
}

TEST_CASE("edit: what loses its last reader goes, with all that only it read") {
  SmallNet net;
  const ValueId a = net.graph.add("a", Identity{}, {net.input}), b = net.graph.add("b", Identity{}, {a});
  const ValueId sum = net.graph.add("sum", Binary{}, {net.input, b});
  net.graph.add_output(sum);
  Edit edit(net.graph);
  edit.replace(net.graph.producer(sum), Identity{}, {net.input});
  apply(net.graph, edit);
  CHECK_FALSE(net.graph.producer(a));
  CHECK_FALSE(net.graph.producer(b));
  CHECK(net.graph.nodes().size() == 3);
}

TEST_CASE("edit: removed nodes are gone") {
  SmallNet net;
  const ValueId spare = net.graph.add("spare", Identity{}, {net.conv});
  Edit edit(net.graph);
  edit.remove(net.graph.producer(spare));
  apply(net.graph, edit);
  CHECK_FALSE(net.graph.producer(spare));
  CHECK(net.graph.alive(net.conv_node()));
}

TEST_CASE("edit: remove_unread_nodes goes up the chains and leaves the outputs") {
  SmallNet net;
  const ValueId a = net.graph.add("a", Identity{}, {net.conv});
  net.graph.add("b", Identity{}, {a});
  CHECK(remove_unread_nodes(net.graph) == 2);
  CHECK(remove_unread_nodes(net.graph) == 0);
  CHECK(net.graph.nodes().size() == 2);
}

TEST_CASE("edit: an output does not become an input or another output") {
  SmallNet net;
  const ValueId pass = net.graph.add("pass", Identity{}, {net.input});
  const ValueId again = net.graph.add("again", Identity{}, {net.relu});
  net.graph.add_output(pass);
  net.graph.add_output(again);
  Edit to_input(net.graph), to_output(net.graph), fine(net.graph);
  to_input.redirect(pass, net.input);
  to_output.redirect(again, net.relu);
  fine.redirect(net.relu, net.conv);
  CHECK_FALSE(keeps_interface(net.graph, to_input));
  CHECK_FALSE(keeps_interface(net.graph, to_output));
  CHECK(keeps_interface(net.graph, fine));
  CHECK_THROWS_AS(apply(net.graph, to_input), Error);

  Edit both(net.graph);
  both.redirect(net.relu, net.conv);
  both.redirect(again, net.conv);
  CHECK_FALSE(keeps_interface(net.graph, both));
}

TEST_CASE("edit: one made for another state of the graph is refused") {
  SmallNet net;
  Edit edit(net.graph);
  edit.constant("c", MutableTensor(DType::float32, {1}));
  net.graph.add_value("in between");
  CHECK_THROWS_AS(apply(net.graph, edit), Error);
}
