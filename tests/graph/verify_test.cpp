// Graphs as a hostile file would have them: one refusal each.
#include <chrono>
#include <cmath>

#include <doctest/doctest.h>

#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

namespace {

/// The small net with its convolution changed.
template <class Change>
std::string conv_error(Change change) {
  SmallNet net;
  change(std::get<Conv>(net.graph.mutable_node(net.conv_node()).op));
  return verify_error(net.graph);
}

/// The small net with one node more, over these inputs.
std::string op_error(Op op, std::vector<ValueId> inputs = {ValueId{0}}) {
  SmallNet net;
  net.graph.add("n", std::move(op), std::move(inputs));
  return verify_error(net.graph);
}

template <class Change>
std::string weight_error(Change change) {
  SmallNet net;
  change(net.graph.value(net.weight));
  return verify_error(net.graph);
}

std::string quantized_weight_error(Quantization q, DType dtype = DType::int8) {
  SmallNet net;
  Value& weight = net.graph.value(net.weight);
  weight.constant = MutableTensor(dtype, {4, 3, 3, 3});
  weight.dtype = dtype;
  weight.quantization = std::move(q);
  return verify_error(net.graph);
}

std::string kept_rows_error(KeptRows kept, Dims dims = {4, 2}) {
  return weight_error([&](Value& weight) {
    weight.constant = MutableTensor(DType::float32, std::move(dims));
    weight.kept_rows = std::move(kept);
  });
}

}  // namespace

TEST_CASE("verify: a sound graph passes and knows its shapes") {
  SmallNet net;
  verify(net.graph);
  CHECK(to_string(*net.graph.value(net.relu).shape) == "Nx4x8x8");
  CHECK(net.graph.value(net.relu).dtype == DType::float32);
}

TEST_CASE("verify: ids outside the graph") {
  CHECK(op_error(Identity{}, {ValueId{99}}) == "node 'n' (Identity): input 0 is value 99; expected one of 5 values");
  CHECK(op_error(Identity{}, {ValueId{-7}}) == "node 'n' (Identity): input 0 is value -7; expected one of 5 values");
  SmallNet net;
  Graph with_output = net.graph, with_node = net.graph;
  with_output.add_output(ValueId{99});
  CHECK(verify_error(with_output) == "graph: output is value 99; expected one of 4 values");
  with_node.add_node({"n", Identity{}, {net.input}, {ValueId{99}}});
  CHECK(verify_error(with_node) == "node 'n' (Identity): output is value 99; expected one of 4 values");
}

TEST_CASE("verify: too few, too many, absent inputs") {
  CHECK(op_error(Conv{}) == "node 'n' (Conv): 1 inputs; expected 2 to 4");
  CHECK(op_error(Identity{}, {}) == "node 'n' (Identity): 0 inputs; expected 1");
  CHECK(op_error(Identity{}, {ValueId{0}, ValueId{0}}) == "node 'n' (Identity): 2 inputs; expected 1");
  CHECK(op_error(Concat{}, {}) == "node 'n' (Concat): 0 inputs; expected 1 or more");
  CHECK(op_error(Conv{}, {ValueId{0}, ValueId{}}) == "node 'n' (Conv): input 1 is absent; expected a value");
  CHECK(op_error(Concat{}, {ValueId{0}, ValueId{}}) == "node 'n' (Concat): input 1 is absent; expected a value");
}

TEST_CASE("verify: every value has one source") {
  SmallNet net;
  const auto writes = [&](std::vector<ValueId> outputs) {
    Graph graph = net.graph;
    graph.add_node({"n", Identity{}, {net.input}, std::move(outputs)});
    return verify_error(graph);
  };
  CHECK(writes({net.conv}) == "node 'n' (Identity): writes value 'conv', which is the output of another node; expected a value of its own");
  CHECK(writes({net.weight}) == "node 'n' (Identity): writes value 'conv.weight', which is a constant; expected a value of its own");
  CHECK(writes({net.input}) == "node 'n' (Identity): writes value 'x', which is a graph input; expected a value of its own");
  CHECK(writes({}) == "node 'n' (Identity): 0 outputs; expected 1");

  Graph graph = net.graph;
  const ValueId nowhere = graph.add_value("nowhere");
  Graph unread = graph, output = graph;
  graph.add("n", Identity{}, {nowhere});
  output.add_output(nowhere);
  CHECK(verify_error(unread) == "no error");
  CHECK(has(verify_error(graph), "node 'n' (Identity): reads value 'nowhere', which nothing produces"));
  CHECK(has(verify_error(output), "output 'nowhere': nothing produces it"));
}

TEST_CASE("verify: inputs and outputs of the graph") {
  SmallNet net;
  net.graph.value(net.input).constant = MutableTensor(DType::float32, {1, 3, 8, 8});
  CHECK(verify_error(net.graph) == "input 'x': is a constant too; expected one or the other");
  SmallNet shapeless;
  shapeless.graph.value(shapeless.input).shape.reset();
  CHECK(has(verify_error(shapeless.graph), "input 'x': has no shape"));
  SmallNet empty;
  empty.graph.set_input_shape(empty.input, {sym("N"), 3, 0, 8});
  CHECK(verify_error(empty.graph) == "input 'x': shape is Nx3x0x8; expected sizes from 1");
  CHECK(verify_error(Graph{}) == "graph: has no outputs; expected at least one");
}

TEST_CASE("verify: cycles") {
  SmallNet net;
  net.graph.replace_node(net.conv_node(), Conv{}, {net.relu, net.weight});
  CHECK(has(verify_error(net.graph), "cycle"));
}

TEST_CASE("verify: attributes") {
  CHECK(conv_error([](Conv& c) { c.window.strides = {0, 1}; }) == "node 'conv' (Conv): stride 0; expected 1 to 2147483647");
  CHECK(has(conv_error([](Conv& c) { c.window.dilations = {1, -1}; }), "node 'conv' (Conv): dilation -1"));
  CHECK(has(conv_error([](Conv& c) { c.window.dilations = {1, INT64_MAX}; }), "node 'conv' (Conv): dilation 9223372036854775807"));
  CHECK(has(conv_error([](Conv& c) { c.window.pads = {-1, 0, 0, 0}; }), "node 'conv' (Conv): padding -1"));
  CHECK(conv_error([](Conv& c) { c.window.pads = {1, 1}; }) == "node 'conv' (Conv): 2 pads; expected 4");
  CHECK(has(conv_error([](Conv& c) { c.window.auto_pad = AutoPad::valid; }), "padding 1 beside auto_pad"));
  CHECK(has(conv_error([](Conv& c) { c.groups = 0; }), "node 'conv' (Conv): groups 0"));
  CHECK(has(conv_error([](Conv& c) { c.groups = 2; }), "node 'conv' (Conv): 3 input channels in 2 groups"));
  CHECK(has(conv_error([](Conv& c) { c.window.strides = Ints(99, 1); }), "strides has 99 entries"));
  CHECK(conv_error([](Conv& c) { c.window.auto_pad = static_cast<AutoPad>(9); }) == "node 'conv' (Conv): auto_pad is 9; expected 0 to 3");
  CHECK(has(conv_error([](Conv& c) { c.activation.alpha = NAN; }), "activation_alpha is NaN"));
  CHECK(has(op_error(Unary{{static_cast<ActivationKind>(77)}}), "activation is 77; expected 0 to 20"));
  CHECK(has(op_error(Cast{static_cast<DType>(40)}), "to is 40; expected 0 to 16"));
  CHECK(has(op_error(Pool{.kernel = {0, 1}}), "node 'n' (MaxPool): kernel size 0"));
  CHECK(has(op_error(Pool{}), "node 'n' (MaxPool): kernel is missing"));
  CHECK(has(op_error(Pool{.kernel = {2}}), "node 'n' (MaxPool): kernel has 1 dimensions; expected 2"));
  CHECK(has(op_error(Softmax{.axis = 4}), "node 'n' (Softmax): axis 4"));
  CHECK(has(op_error(BatchNorm{NAN}, std::vector(5, ValueId{0})), "node 'n' (BatchNormalization): epsilon is NaN"));
  CHECK(has(op_error(BatchNorm{-1}, std::vector(5, ValueId{0})), "node 'n' (BatchNormalization): epsilon -1"));
  CHECK(op_error(Unary{{ActivationKind::clip, 0, INFINITY}}) == "no error");
}

TEST_CASE("verify: element types and constants") {
  CHECK(weight_error([](Value& v) { v.dtype = static_cast<DType>(99); }) == "value 'conv.weight': element type 99; expected 0 to 16");
  CHECK(has(weight_error([](Value& v) { v.dtype = DType::int8; }), "value 'conv.weight': is int8 and its constant float32"));
  CHECK(has(weight_error([](Value& v) { v.constant->bytes.reset(); }), "value 'conv.weight': constant without data"));
  CHECK(has(weight_error([](Value& v) { v.constant->dims = {4, -3}; }), "value 'conv.weight': shape 4x-3"));
  CHECK(has(weight_error([](Value& v) {
              v.constant->dims = {1 << 20, 1 << 20};
            }),
            "value 'conv.weight': shape 1048576x1048576; expected fewer than 2^40"));
  CHECK(has(weight_error([](Value& v) { v.constant->dims = Dims(9, 1); }), "value 'conv.weight': 9 dimensions; expected at most 8"));
  CHECK(has(weight_error([](Value& v) { v.constant->bytes = {v.constant->bytes, v.constant->bytes.get() + 1}; }), "odd address"));
}

TEST_CASE("verify: quantization") {
  CHECK(quantized_weight_error({{0.1f}, {0}, 0}) == "no error");
  CHECK(quantized_weight_error({{.1f, .1f, .1f, .1f}, {0, 0, 0, 0}, 0}) == "no error");
  CHECK(
      has(quantized_weight_error({{0.1f, 0.1f}, {0, 0}, 0}), "value 'conv.weight': 2 quantization scales; expected 4 (axis 0 of 4x3x3x3)"));
  CHECK(has(quantized_weight_error({{0.1f, 0.1f}, {0, 0}, 4}), "quantization axis 4 of 4x3x3x3; expected 0 to 3"));
  CHECK(has(quantized_weight_error({{0.1f, 0.1f}, {0}, 0}), "1 zero points for 2 scales"));
  CHECK(has(quantized_weight_error({{}, {}, 0}), "no quantization scale"));
  CHECK(has(quantized_weight_error({{0.0f}, {0}, 0}), "quantization scale 0; expected a positive number"));
  CHECK(has(quantized_weight_error({{NAN}, {0}, 0}), "quantization scale nan"));
  CHECK(has(quantized_weight_error({{0.1f}, {128}, 0}), "zero point 128; expected -128 to 127 (int8)"));
  CHECK(has(quantized_weight_error({{0.1f}, {0}, 0}, DType::float32), "quantized float32"));
}

TEST_CASE("verify: pruned weights") {
  const Dims dense{4, 3, 3, 3};
  CHECK(kept_rows_error({{0, 26}, 1, dense}) == "no error");
  CHECK(has(kept_rows_error({{0, 27}, 1, dense}), "value 'conv.weight': kept row 27 behind 0; expected rising rows below 27"));
  CHECK(has(kept_rows_error({{5, 5}, 1, dense}), "kept row 5 behind 5"));
  CHECK(has(kept_rows_error({{-1, 5}, 1, dense}), "kept row -1"));
  CHECK(has(kept_rows_error({{0, 5, 6}, 1, dense}), "expected 4x3"));
  CHECK(has(kept_rows_error({{0, 5}, 0, dense}), "pruning granularity 0"));
  CHECK(has(kept_rows_error({{0, 5}, 1, {4, 27}}), "expected a convolution's weight"));
  SmallNet net;
  const ValueId pruned = weights(net.graph, "pruned", {4, 2});
  net.graph.value(pruned).kept_rows = KeptRows{{0, 5}, 1, dense};
  net.graph.add("n", Identity{}, {pruned});
  CHECK(has(verify_error(net.graph), "node 'n' (Identity): input 0 is a pruned weight"));
}

TEST_CASE("verify: names from files stay on one line") {
  SmallNet net;
  net.graph.add("bad\nname", Softmax{.axis = 9}, {net.conv});
  CHECK(has(verify_error(net.graph), "node 'bad?name' (Softmax): axis 9"));
}

TEST_CASE("verify: fifty thousand nodes of one name, in reverse order, take no quadratic time") {
  constexpr int kNodes = 50000;
  Graph graph;
  const ValueId x = graph.add_input("x", DType::int64, {4000});
  const ValueId c = ints(graph, "c", std::vector<std::int64_t>(4000, 1));
  std::vector<ValueId> values{c};
  for (int i = 0; i < kNodes; ++i) values.push_back(graph.add_value("v"));
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = kNodes; i > 0; --i) graph.add_node({"n", Identity{}, {values[i - 1]}, {values[i]}});
  graph.add_output(values.back());
  graph.add_output(x);
  CHECK(verify_error(graph) == "no error");
  CHECK(graph.compacted().node_capacity() == kNodes);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
}
