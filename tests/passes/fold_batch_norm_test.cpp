#include "tests/passes/check.h"

using namespace konv;
using namespace konv::test;

namespace {

constexpr const char* kPass = "fold-batch-norm";

}  // namespace

TEST_CASE("fold-batch-norm: a convolution takes its norm in and keeps its name") {
  for (const bool bias : {true, false}) {
    for (const std::int64_t groups : {1, 2, 4}) {
      CAPTURE(bias);
      CAPTURE(groups);
      Bench b;
      b.output(b.relu("relu", b.norm("bn", b.conv("conv", b.x, {.pads = {1, 1, 1, 1}, .groups = groups, .bias = bias}))));
      CHECK(check_fires(b.graph, kPass) == std::vector<std::string>{"conv: folded bn"});
      CHECK(count_nodes(b.graph) == 2);
      const Node& conv = find_node(b.graph, "conv");
      CHECK(b.graph.value(conv.input(Conv::kWeight)).name == "conv.weight.folded");
      CHECK(b.graph.value(conv.input(Conv::kBias)).name == (bias ? "conv.bias.folded" : "bn.bias.folded"));
    }
  }
}

TEST_CASE("fold-batch-norm: two norms in a row") {
  Bench b;
  b.output(b.norm("bn2", b.norm("bn1", b.conv("conv", b.x))));
  CHECK(check_fires(b.graph, kPass).size() == 2);
  CHECK(count_nodes(b.graph) == 1);
  CHECK(b.graph.value(b.graph.outputs()[0]).name == "bn2");
}

TEST_CASE("fold-batch-norm: transposed convolutions, grouped too") {
  for (const std::int64_t groups : {1, 2, 4}) {
    Bench b;
    const ValueId weight = b.constant("weight", {4, 3, 2, 2});
    const ValueId conv = b.graph.add("conv", ConvTranspose{.window = {.strides = {2, 2}}, .groups = groups}, {b.x, weight});
    b.output(b.norm("bn", conv, 3 * groups));
    check_fires(b.graph, kPass);
    CHECK(count_nodes(b.graph) == 1);
  }
}

TEST_CASE("fold-batch-norm: matrix products with every kind of constant C") {
  for (const bool transpose_b : {true, false}) {
    for (const Dims& c : std::vector<Dims>{{}, {1}, {3}, {1, 3}, {1, 1}, {0}}) {
      Bench b;
      std::vector<ValueId> inputs{b.graph.add("flat", Flatten{}, {b.x}), b.constant("w", transpose_b ? Dims{3, 196} : Dims{196, 3})};
      if (c != Dims{0}) inputs.push_back(b.constant("c", c));
      b.output(b.norm("bn", b.graph.add("gemm", Gemm{.transpose_b = transpose_b, .alpha = 0.1f, .beta = 2}, inputs), 3));
      check_fires(b.graph, kPass);
      CHECK(count_nodes(b.graph) == 2);
    }
  }
}

TEST_CASE("fold-batch-norm: does not fire") {
  Bench b;
  SUBCASE("when somebody else reads the convolution") {
    const ValueId conv = b.conv("conv", b.x);
    b.output(b.add("add", b.norm("bn", conv), conv));
  }
  SUBCASE("when the convolution is an output") {
    const ValueId conv = b.conv("conv", b.x);
    b.output(conv);
    b.output(b.norm("bn", conv));
  }
  SUBCASE("when the norm comes before a padded convolution") { b.output(b.conv("conv", b.norm("bn", b.x))); }
  SUBCASE("when an activation lies between") {
    b.output(b.norm("bn", b.conv("conv", b.x, {.pads = {1, 1, 1, 1}, .activation = {ActivationKind::relu}})));
  }
  SUBCASE("when a residual lies between") {
    const ValueId conv = b.graph.add("conv", Conv{}, {b.x, b.constant("w", {4, 4, 1, 1}), ValueId{}, b.x});
    b.output(b.norm("bn", conv));
  }
  SUBCASE("when weights come at run time") {
    const ValueId weight = b.graph.add_input("weight", DType::float32, {4, 4, 1, 1});
    b.output(b.norm("bn", b.graph.add("conv", Conv{}, {b.x, weight})));
  }
  SUBCASE("when the bias comes at run time") {
    const ValueId bias = b.graph.add_input("bias", DType::float32, {4});
    b.output(b.norm("bn", b.graph.add("conv", Conv{}, {b.x, b.constant("w", {4, 4, 1, 1}), bias})));
  }
  SUBCASE("when a statistic comes at run time") {
    const ValueId mean = b.graph.add_input("mean", DType::float32, {4});
    b.output(b.graph.add("bn", BatchNorm{}, {b.conv("conv", b.x), b.constant("g", {4}), b.constant("b", {4}), mean, b.constant("v", {4})}));
  }
  SUBCASE("when a variance is negative") {
    const ValueId variance = b.graph.add_constant("v", make_f32({4}, std::vector<float>{1, 1, -1, 1}));
    b.output(
        b.graph.add("bn", BatchNorm{}, {b.conv("conv", b.x), b.constant("g", {4}), b.constant("b", {4}), b.constant("m", {4}), variance}));
  }
  SUBCASE("when Gemm's C differs from row to row") {
    const ValueId rows = b.graph.add("rows", Reshape{}, {b.x, b.graph.add_constant("s", make_i64({2}, Ints{4, -1}))});
    b.output(b.norm("bn", b.graph.add("gemm", Gemm{}, {rows, b.constant("w", {49, 4}), b.constant("c", {4, 1})})));
  }
  SUBCASE("when the weights are pruned") {
    const ValueId weight = b.constant("w", {4, 3});
    b.graph.value(weight).kept_rows = KeptRows{{0, 1, 3}, 1, {4, 4, 1, 1}};
    b.output(b.norm("bn", b.graph.add("conv", Conv{}, {b.x, weight})));
  }
  check_does_not_fire(b.graph, kPass);
}

TEST_CASE("fold-batch-norm: a weight that two convolutions share is scaled for one of them only") {
  Bench b;
  const ValueId weight = b.constant("w", {4, 4, 1, 1});
  b.output(b.norm("bn", b.graph.add("one", Conv{}, {b.x, weight})));
  b.output(b.graph.add("two", Conv{}, {b.x, weight}));
  check_fires(b.graph, kPass);
  CHECK(count_nodes(b.graph) == 2);
}
