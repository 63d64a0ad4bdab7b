// merge-duplicates, cancel-transposes, merge-reshapes, global-pool, fuse-pad
#include "tests/passes/check.h"

using namespace konv;
using namespace konv::test;

namespace {

ValueId ints(Graph& graph, const char* name, const Ints& values) {
  return graph.add_constant(name, make_i64({static_cast<std::int64_t>(values.size())}, values));
}

}  // namespace

TEST_CASE("the same computation twice becomes one") {
  Bench b;
  const auto part = [&](const char* name, float one) {
    const ValueId sum = b.add(name, b.x, b.graph.add_constant("one", make_f32({1}, std::vector<float>{one})));
    return b.relu("relu", sum);
  };
  const ValueId first = part("first", 1), second = part("second", 1);
  b.output(b.add("out", first, second));
  const std::vector<std::string> fired = check_fires(b.graph, "merge-duplicates");
  INFO(fired.size() << " " << fired.front() << ", " << fired.back());
  CHECK(fired == std::vector<std::string>{"merged second", "merged relu_1"});
  CHECK(count_nodes(b.graph) == 3);
}

TEST_CASE("computations that differ, or that are outputs, stay two") {
  Bench b;
  const ValueId a = b.graph.add("leaky", Unary{{ActivationKind::leaky_relu, 0.1f, 0}}, {b.x});
  const ValueId c = b.graph.add("leakier", Unary{{ActivationKind::leaky_relu, 0.2f, 0}}, {b.x});
  b.output(b.add("out", a, c));
  b.output(b.relu("one output", b.x));
  b.output(b.relu("another output", b.x));
  check_does_not_fire(b.graph, "merge-duplicates");
}

TEST_CASE("transposes that undo each other go, across activations too") {
  Bench b;
  ValueId v = b.graph.add("to last", Transpose{{0, 2, 3, 1}}, {b.x});
  v = b.relu("relu", v);
  v = b.graph.add("to first", Transpose{{0, 3, 1, 2}}, {v});
  b.output(b.conv("conv", v));
  check_fires(b.graph, "cancel-transposes");
  CHECK(count<Transpose>(b.graph) == 0);
  CHECK(count_nodes(b.graph) == 2);
}

TEST_CASE("transposes in a row become one") {
  Bench b;
  const ValueId v = b.graph.add("a", Transpose{{0, 2, 3, 1}}, {b.x});
  b.output(b.graph.add("b", Transpose{}, {v}));
  check_fires(b.graph, "cancel-transposes");
  CHECK(count<Transpose>(b.graph) == 1);
}

TEST_CASE("transposes that somebody reads in between stay") {
  Bench b;
  const ValueId v = b.graph.add("a", Transpose{{0, 2, 3, 1}}, {b.x});
  b.output(b.relu("relu", v));
  b.output(b.graph.add("mean", Reduce{ReduceKind::mean, {1}, false}, {v}));
  check_does_not_fire(b.graph, "cancel-transposes");
}

TEST_CASE("reshapes in a row become one, or none") {
  Bench b;
  ValueId v = b.graph.add("flat", Flatten{}, {b.x});
  v = b.graph.add("rows", Reshape{}, {v, ints(b.graph, "shape", {4, 7, 7})});
  v = b.graph.add("more", Unsqueeze{{0, -1}}, {v});
  b.output(b.relu("relu", v));
  ValueId w = b.graph.add("there", Flatten{}, {b.x});
  w = b.graph.add("back", Reshape{}, {w, ints(b.graph, "image", {1, 4, 7, 7})});
  b.output(b.conv("conv", w));
  check_fires(b.graph, "merge-reshapes");
  CHECK(count_nodes(b.graph) == 3);
  CHECK(count<Reshape>(b.graph) == 1);
}

TEST_CASE("reshapes whose sizes are unknown stay") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), Dim::symbol("C"), 6});
  const ValueId flat = graph.add("rows", Unsqueeze{{1}}, {x});
  graph.add_output(graph.add("out", Unsqueeze{{0}}, {flat}));
  check_does_not_fire(graph, "merge-reshapes");
}

TEST_CASE("one symbolic size becomes -1") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 4, 6});
  const ValueId flat = graph.add("flat", Flatten{}, {x});
  graph.add_output(graph.add("out", Unsqueeze{{0}}, {flat}));
  check_fires(graph, "merge-reshapes");
  CHECK(count_nodes(graph) == 1);
}

TEST_CASE("pooling over the whole image is a reduction") {
  Bench b;
  b.output(b.graph.add("average", Pool{.kind = PoolKind::average, .kernel = {7, 7}, .window = {.strides = {7, 7}}}, {b.x}));
  b.output(b.graph.add("max", Pool{.kind = PoolKind::max, .kernel = {7, 7}}, {b.x}));
  check_fires(b.graph, "global-pool");
  CHECK(count<Reduce>(b.graph) == 2);
  Bench kept;
  kept.output(kept.graph.add("smaller", Pool{.kind = PoolKind::average, .kernel = {6, 7}}, {kept.x}));
  kept.output(kept.graph.add("padded", Pool{.kind = PoolKind::average, .kernel = {7, 7}, .window = {.pads = {1, 0, 0, 0}}}, {kept.x}));
  kept.output(kept.graph.add("lp", Pool{.kind = PoolKind::lp, .kernel = {7, 7}}, {kept.x}));
  check_does_not_fire(kept.graph, "global-pool");
}

namespace {

Graph padded_conv(const Ints& pads, Pad pad = {}, Window window = {}) {
  Bench b;
  const ValueId padded = b.graph.add("pad", pad, {b.x, ints(b.graph, "pads", pads)});
  Conv conv;
  conv.window = window;
  b.output(b.graph.add("conv", conv, {padded, b.constant("w", {4, 4, 3, 3})}));
  return b.graph;
}

}  // namespace

TEST_CASE("padding goes into the convolution") {
  for (const Window& window : {Window{}, Window{.pads = {1, 0, 1, 2}}, Window{.auto_pad = AutoPad::valid}}) {
    Graph graph = padded_conv({0, 0, 1, 2, 0, 0, 0, 1}, {}, window);
    CHECK(check_fires(graph, "fuse-pad") == std::vector<std::string>{"conv: fused pad"});
    CHECK(count_nodes(graph) == 1);
  }
}

TEST_CASE("padding that a convolution cannot do stays") {
  check_does_not_fire(padded_conv({0, 0, 1, 1, 0, 0, 1, 1}, {PadMode::edge, 0}), "fuse-pad");
  check_does_not_fire(padded_conv({0, 0, 1, 1, 0, 0, 1, 1}, {PadMode::constant, 2}), "fuse-pad");
  check_does_not_fire(padded_conv({1, 0, 1, 1, 0, 0, 1, 1}), "fuse-pad");
  check_does_not_fire(padded_conv({0, 0, -1, 1, 0, 0, 1, 1}), "fuse-pad");
  check_does_not_fire(padded_conv({0, 0, 1, 1, 0, 0, 1, 1}, {}, {.auto_pad = AutoPad::same_upper}), "fuse-pad");
}
