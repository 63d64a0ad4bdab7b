// fuse-residual, fuse-activation
#include "tests/passes/check.h"

using namespace konv;
using namespace konv::test;

TEST_CASE("fuse-activation: every activation, behind every node with an epilogue") {
  const std::vector<Activation> activations{{ActivationKind::relu},
                                            {ActivationKind::leaky_relu, 0.1f},
                                            {ActivationKind::clip, -0.5f, 0.5f},
                                            {ActivationKind::sigmoid},
                                            {ActivationKind::hard_sigmoid, 0.2f, 0.5f},
                                            {ActivationKind::hard_swish},
                                            {ActivationKind::tanh},
                                            {ActivationKind::silu}};
  for (const Activation& activation : activations) {
    Bench b;
    const auto activated = [&](ValueId v) { return b.graph.add("act", Unary{activation}, {v}); };
    ValueId v = activated(b.conv("conv", b.x));
    v = activated(b.graph.add("up", ConvTranspose{}, {v, b.constant("up.weight", {4, 2, 2, 2})}));
    v = activated(b.graph.add("scale", Binary{BinaryKind::mul}, {v, b.constant("factor", {1, 2, 1, 1})}));
    v = activated(b.graph.add("fc", Gemm{}, {b.graph.add("flat", Flatten{}, {v}), b.constant("fc.weight", {128, 3})}));
    b.output(v);
    CHECK(check_fires(b.graph, "fuse-activation").size() == 4);
    CHECK(count<Unary>(b.graph) == 0);
    CHECK(std::get<Conv>(find_node(b.graph, "conv").op).activation == activation);
  }
}

TEST_CASE("fuse-activation: does not fire") {
  Bench b;
  SUBCASE("when the node has an activation") {
    b.output(b.relu("relu", b.conv("conv", b.x, {.pads = {1, 1, 1, 1}, .activation = {ActivationKind::tanh}})));
  }
  SUBCASE("when somebody else reads the value before it") {
    const ValueId conv = b.conv("conv", b.x);
    b.output(b.graph.add("concat", Concat{}, {conv, b.relu("relu", conv)}));
  }
  SUBCASE("when the value before it is an output") {
    const ValueId conv = b.conv("conv", b.x);
    b.output(conv);
    b.output(b.relu("relu", conv));
  }
  SUBCASE("when there is no epilogue") { b.output(b.relu("relu", b.graph.add("pool", Pool{PoolKind::max, {2, 2}, {}}, {b.x}))); }
  check_does_not_fire(b.graph, "fuse-activation");
}

TEST_CASE("fuse-residual: the sum goes into the convolution, its activation too") {
  for (const bool swapped : {true, false}) {
    for (const bool bias : {true, false}) {
      Bench b;
      const ValueId conv = b.conv("conv", b.x, {.pads = {1, 1, 1, 1}, .bias = bias});
      const ValueId other = b.relu("relu", b.x);
      b.output(b.graph.add("add", Binary{BinaryKind::add, {ActivationKind::relu}},
                           swapped ? std::vector{other, conv} : std::vector{conv, other}));
      CHECK(check_fires(b.graph, "fuse-residual") == std::vector<std::string>{"conv: fused add"});
      CHECK(count_nodes(b.graph) == 2);
      CHECK(find_node(b.graph, "conv").input(Conv::kResidual) == other);
      CHECK(std::get<Conv>(find_node(b.graph, "conv").op).activation.kind == ActivationKind::relu);
    }
  }
}

TEST_CASE("fuse-residual: of two convolutions the later one takes the other's result") {
  for (const bool swapped : {true, false}) {
    Bench b;
    const ValueId early = b.conv("early", b.x), late = b.conv("late", b.relu("relu", b.x));
    b.output(swapped ? b.add("add", late, early) : b.add("add", early, late));
    check_fires(b.graph, "fuse-residual");
    CHECK(count_nodes(b.graph) == 3);
    CHECK(find_node(b.graph, "late").input(Conv::kResidual) == early);
  }
}

TEST_CASE("fuse-residual: a convolution of the other operand, and one of an unknown batch size") {
  Bench b;
  const ValueId trunk = b.relu("trunk", b.x);
  b.output(b.add("add", b.conv("conv", trunk), trunk));
  check_fires(b.graph, "fuse-residual");
  CHECK(count_nodes(b.graph) == 2);

  Graph symbolic;
  Rng rng(3);
  const ValueId x = symbolic.add_input("x", DType::float32, {Dim::symbol("N"), 4, Dim::symbol("H"), Dim::symbol("W")});
  symbolic.add_output(add_sum(symbolic, "add", add_conv(symbolic, rng, "conv", x, 4, 4, {.pads = {1, 1, 1, 1}}), x));
  const Graph before = symbolic;
  run_passes(symbolic, "fuse-residual");
  CHECK(count_nodes(symbolic) == 1);
}

TEST_CASE("fuse-residual: does not fire") {
  Bench b;
  SUBCASE("when the sum broadcasts") { b.output(b.add("add", b.conv("conv", b.x), b.constant("c", {1, 4, 1, 1}))); }
  SUBCASE("when the convolution broadcasts") { b.output(b.add("add", b.x, b.conv("conv", b.x, {.pads = {1, 1, 1, 1}}, 4, 1))); }
  SUBCASE("when the convolution has an activation") {
    b.output(b.add("add", b.x, b.conv("conv", b.x, {.pads = {1, 1, 1, 1}, .activation = {ActivationKind::relu}})));
  }
  SUBCASE("when the convolution has a residual") {
    b.output(b.add("add", b.x, b.graph.add("conv", Conv{}, {b.x, b.constant("w", {4, 4, 1, 1}), ValueId{}, b.x})));
  }
  SUBCASE("when somebody else reads the convolution") {
    const ValueId conv = b.conv("conv", b.x);
    b.output(b.add("add", b.x, conv));
    b.output(b.relu("relu", conv));
  }
  SUBCASE("when the convolution is an output") {
    const ValueId conv = b.conv("conv", b.x);
    b.output(b.add("add", b.x, conv));
    b.output(conv);
  }
  SUBCASE("when the convolution is added to itself") {
    const ValueId conv = b.conv("conv", b.x);
    b.output(b.add("add", conv, conv));
  }
  SUBCASE("when it is no sum") { b.output(b.graph.add("mul", Binary{BinaryKind::mul}, {b.x, b.conv("conv", b.x)})); }
  SUBCASE("when shapes may differ") {
    const ValueId y = b.graph.add_input("y", DType::float32, {Dim(), 4, Dim(), Dim()});
    const ValueId z = b.graph.add_input("z", DType::float32, {Dim(), 4, Dim(), Dim()});
    b.output(b.add("add", z, b.conv("conv", y)));
  }
  check_does_not_fire(b.graph, "fuse-residual");
}
