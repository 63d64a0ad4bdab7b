#include "tests/passes/check.h"

using namespace konv;
using namespace konv::test;

namespace {

constexpr const char* kPass = "fuse-repvgg";
const ConvOptions kPointwise{.kernel = {1, 1}};

/// One kernel that fits into a k x k kernel with pads of k / 2 whatever its own size.
ConvOptions random_smaller(Rng& rng, const ConvOptions& big) {
  ConvOptions o = big;
  o.bias = rng.chance(0.5);
  if (rng.chance(0.3)) o.groups = big.groups * rng.pick({1, 2});
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::int64_t dilation = big.dilations[axis];
    o.kernel[axis] = rng.integer(1, big.kernel[axis]);
    const std::int64_t offset = rng.integer(0, big.kernel[axis] - o.kernel[axis]);  // taps of the big kernel before it
    const std::int64_t behind = big.kernel[axis] - o.kernel[axis] - offset;
    o.pads[axis] = big.pads[axis] - offset * dilation;
    o.pads[axis + 2] = big.pads[axis + 2] - behind * dilation;
    if (o.kernel[axis] == 1) o.dilations[axis] = rng.integer(1, 3);  // does not matter
    if (o.pads[axis] < 0 || o.pads[axis + 2] < 0) return random_smaller(rng, big);
  }
  return o;
}

/// Adds the terms in a random order and association.
ValueId random_sum(Bench& b, std::vector<ValueId> terms) {
  while (terms.size() > 1) {
    const auto take = [&] {
      const auto at = static_cast<std::size_t>(b.rng.integer(0, std::ssize(terms) - 1));
      const ValueId term = terms[at];
      terms.erase(terms.begin() + static_cast<std::ptrdiff_t>(at));
      return term;
    };
    const ValueId first = take(), second = take();
    terms.push_back(b.add("add", first, second));
  }
  return terms[0];
}

}  // namespace

TEST_CASE("The published block of two channels becomes one convolution") {
  Rng rng(20);
  Graph graph = repvgg_block(rng, {.channels = 2, .size = 9, .batch_norm = false});
  REQUIRE(count_nodes(graph) == 5);
  CHECK(check_fires(graph, kPass) == std::vector<std::string>{"dense: fused pointwise, sum, sum.identity"});
  CHECK(count<Conv>(graph) == 1);
  CHECK(count_nodes(graph) == 2);  // and the activation behind it
  const Node& conv = find_node(graph, "dense");
  CHECK(graph.constant(conv.input(Conv::kWeight))->dims == Dims{2, 2, 3, 3});
  CHECK(graph.value(conv.input(Conv::kWeight)).name == "dense.weight.folded");
}

TEST_CASE("fuse-repvgg: the block with norms, alone and behind fold-batch-norm; grouped; at stride 2") {
  for (const std::int64_t groups : {1, 2, 4}) {
    for (const std::int64_t stride : {1, 2}) {
      for (const char* list : {"fuse-repvgg", "fold-batch-norm,fuse-repvgg"}) {
        CAPTURE(groups);
        CAPTURE(stride);
        Rng rng(21);
        Graph graph = repvgg_block(rng, {.stride = stride, .groups = groups, .identity = stride == 1});
        check_fires(graph, list);
        CHECK(count_nodes(graph) == 2);
        CHECK(std::get<Conv>(find_node(graph, "dense").op).groups == groups);
      }
    }
  }
}

TEST_CASE("fuse-repvgg: any sum of parallel convolutions, norms and identities") {
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    const std::int64_t channels = 4, size = 8;
    Bench b(channels, size);
    b.rng = Rng(static_cast<std::uint64_t>(1000 + round));
    ConvOptions big{.kernel = {b.rng.integer(1, 5), b.rng.integer(1, 5)}, .strides = {1, 1}, .bias = b.rng.chance(0.5)};
    if (b.rng.chance(0.3)) big.strides = {2, b.rng.integer(1, 2)};
    big.dilations = {b.rng.integer(1, 2), b.rng.integer(1, 2)};
    big.groups = b.rng.pick({1, 1, 2});
    for (std::size_t axis = 0; axis < 2; ++axis) {
      big.pads.push_back((big.kernel[axis] - 1) * big.dilations[axis] / 2 + b.rng.integer(0, 1));
    }
    big.pads.push_back(big.pads[0]);
    big.pads.push_back(big.pads[1]);

    const auto with_norm = [&](ValueId v) { return b.rng.chance(0.5) ? b.norm("bn", v) : v; };
    std::vector<ValueId> terms{with_norm(b.conv("big", b.x, big))};
    const std::int64_t others = b.rng.integer(1, 4);
    for (std::int64_t i = 0; i < others; ++i) terms.push_back(with_norm(b.conv("small", b.x, random_smaller(b.rng, big))));
    // An identity keeps the image's size; so must the big kernel, with a tap in its centre.
    bool keeps_size = big.strides == Ints{1, 1};
    for (std::size_t axis = 0; axis < 2; ++axis) {
      keeps_size = keeps_size && big.kernel[axis] % 2 == 1 && big.pads[axis] == big.kernel[axis] / 2 * big.dilations[axis];
    }
    if (keeps_size) terms.push_back(with_norm(b.x));
    b.output(random_sum(b, terms));

    check_fires(b.graph, kPass);
    CHECK(count_nodes(b.graph) == 1);
    CHECK(count<Conv>(b.graph) == 1);
  }
}

TEST_CASE("fuse-repvgg: asymmetric kernels and same padding") {
  SUBCASE("ACNet") {
    Bench b;
    const ValueId flat = b.conv("1x3", b.x, {.kernel = {1, 3}, .pads = {0, 1, 0, 1}}),
                  tall = b.conv("3x1", b.x, {.kernel = {3, 1}, .pads = {1, 0, 1, 0}});
    b.output(b.add("add2", b.add("add1", flat, tall), b.conv("3x3", b.x)));
    check_fires(b.graph, kPass);
    CHECK(count_nodes(b.graph) == 1);
    CHECK(find_node(b.graph, "3x3").inputs.size() == 3);
  }
  SUBCASE("same padding at stride 1, of unknown sizes too") {
    for (const AutoPad same : {AutoPad::same_upper, AutoPad::same_lower}) {
      for (const std::int64_t kernel : {2, 3}) {
        Bench b;
        b.graph.set_input_shape(b.x, {Dim::symbol("N"), 4, Dim::symbol("H"), Dim::symbol("W")});
        const ValueId big = b.conv("big", b.x, {.kernel = {kernel, kernel}, .auto_pad = same});
        b.output(b.add("add2", b.add("add1", big, b.conv("small", b.x, {.kernel = {1, 1}, .auto_pad = AutoPad::valid})), b.x));
        const Graph before = b.graph;
        run_passes(b.graph, kPass);
        CHECK(count_nodes(b.graph) == 1);
        Rng rng(1);
        const std::map<std::string, Tensor> inputs{{"x", random_tensor(rng, {2, 4, 5, 6})}};
        CHECK_CLOSE(run_reference(b.graph, inputs)[0], run_reference(before, inputs)[0], 1e-5);
      }
    }
  }
  SUBCASE("same padding at stride 2 of known sizes: the last column sees padding only") {
    Bench b(4, 8);
    const ValueId big = b.conv("big", b.x, {.strides = {2, 2}, .auto_pad = AutoPad::same_upper});
    b.output(b.add("add", big, b.conv("small", b.x, {.kernel = {1, 1}, .strides = {2, 2}})));
    check_fires(b.graph, kPass);
    CHECK(count_nodes(b.graph) == 1);
  }
}

TEST_CASE("fuse-repvgg: one convolution plus its input, an input counted twice, the sum's activation") {
  Bench b;
  const ValueId sum = b.add("add1", b.add("add2", b.conv("conv", b.x), b.x), b.x);
  b.output(b.graph.add("add3", Binary{BinaryKind::add, {ActivationKind::relu}}, {sum, b.conv("small", b.x, kPointwise)}));
  check_fires(b.graph, kPass);
  CHECK(count_nodes(b.graph) == 1);
  CHECK(std::get<Conv>(find_node(b.graph, "conv").op).activation.kind == ActivationKind::relu);
}

TEST_CASE("fuse-repvgg: terms that do not fit stay in the sum") {
  SUBCASE("one other term, with the sum's activation and name") {
    Bench b;
    const ValueId big = b.conv("big", b.x), small = b.conv("small", b.x, kPointwise), other = b.relu("other", b.x);
    b.output(b.graph.add("y", Binary{BinaryKind::add, {ActivationKind::relu}}, {b.add("add", big, other), small}));
    check_fires(b.graph, kPass);
    CHECK(count<Conv>(b.graph) == 1);
    CHECK(count<Binary>(b.graph) == 1);
    CHECK(find_node(b.graph, "y").input(Binary::kB) == other);
  }
  SUBCASE("several other terms, some of which broadcast") {
    Bench b;
    const ValueId big = b.conv("big", b.x), small = b.conv("small", b.x, kPointwise), one = b.relu("one", b.x),
                  two = b.constant("two", {1, 4, 1, 1});
    b.output(b.add("y", b.add("left", big, one), b.add("right", two, b.add("inner", b.constant("three", {1}), small))));
    check_fires(b.graph, kPass);
    CHECK(count<Conv>(b.graph) == 1);
    CHECK(count<Binary>(b.graph) == 3);
  }
  SUBCASE("two groups of two inputs: two convolutions") {
    Bench b;
    const ValueId z = b.relu("z", b.x);
    const ValueId left = b.add("left", b.conv("big x", b.x), b.conv("big z", z)),
                  right = b.add("right", b.conv("small z", z, kPointwise), b.conv("small x", b.x, kPointwise));
    b.output(b.add("y", left, right));
    check_fires(b.graph, kPass);
    CHECK(count<Conv>(b.graph) == 2);
    CHECK(count<Binary>(b.graph) == 1);
  }
  SUBCASE("a branch whose result somebody else needs") {
    Bench b;
    const ValueId big = b.conv("big", b.x), shared = b.conv("shared", b.x, kPointwise);
    b.output(b.add("y", b.add("add", big, shared), b.x));
    b.output(b.relu("relu", shared));
    check_fires(b.graph, kPass);
    CHECK(count<Conv>(b.graph) == 2);
    CHECK(count<Binary>(b.graph) == 1);
  }
}

TEST_CASE("fuse-repvgg: does not fire") {
  Bench b;
  const ConvOptions dense{.pads = {1, 1, 1, 1}};
  const auto output_sum = [&](ValueId u, ValueId v) { b.output(b.add("add", u, v)); };
  SUBCASE("when a branch is used elsewhere") {
    const ValueId small = b.conv("small", b.x, kPointwise);
    output_sum(b.conv("big", b.x), small);
    b.output(b.relu("relu", small));
  }
  SUBCASE("when the largest branch is an output") {
    const ValueId big = b.conv("big", b.x);
    output_sum(big, b.conv("small", b.x, kPointwise));
    b.output(big);
  }
  SUBCASE("when a branch before its norm is used elsewhere") {
    const ValueId small = b.conv("small", b.x, kPointwise);
    output_sum(b.conv("big", b.x), b.norm("bn", small));
    b.output(small);
  }
  SUBCASE("when strides differ") {
    // 3x3 at stride 2 and 1x1 at stride 1 of a pooled image: equal shapes, other pixels
    b.graph.set_input_shape(b.x, {1, 4, 1, 1});
    output_sum(b.conv("big", b.x, {.strides = {2, 2}, .pads = {1, 1, 1, 1}}), b.conv("small", b.x, kPointwise));
  }
  SUBCASE("when inputs differ") { output_sum(b.conv("big", b.x), b.conv("small", b.relu("relu", b.x), kPointwise)); }
  SUBCASE("when weights come at run time") {
    const ValueId weight = b.graph.add_input("weight", DType::float32, {4, 4, 1, 1});
    output_sum(b.conv("big", b.x), b.graph.add("small", Conv{}, {b.x, weight}));
  }
  SUBCASE("when a bias comes at run time") {
    const ValueId bias = b.graph.add_input("bias", DType::float32, {4});
    output_sum(b.conv("big", b.x), b.graph.add("small", Conv{}, {b.x, b.constant("w", {4, 4, 1, 1}), bias}));
  }
  SUBCASE("when a branch has an activation") {
    output_sum(b.conv("big", b.x), b.conv("small", b.x, {.kernel = {1, 1}, .activation = {ActivationKind::relu}}));
  }
  SUBCASE("when a branch has a residual") {
    output_sum(b.conv("big", b.x), b.graph.add("small", Conv{}, {b.x, b.constant("w", {4, 4, 1, 1}), ValueId{}, b.x}));
  }
  SUBCASE("when a branch broadcasts over channels") { output_sum(b.conv("big", b.x), b.conv("small", b.x, kPointwise, 4, 1)); }
  SUBCASE("when a branch broadcasts over pixels") {
    b.graph.set_input_shape(b.x, {1, 4, 3, 3});
    output_sum(b.conv("big", b.x), b.conv("small", b.x, {}));
  }
  SUBCASE("when the larger kernel's branch broadcasts over pixels") {
    b.graph.set_input_shape(b.x, {1, 4, 3, 3});
    output_sum(b.conv("big", b.x, {}), b.conv("small", b.x, kPointwise));
  }
  SUBCASE("when groups overlap") {
    b.graph.set_input_shape(b.x, {1, 6, 7, 7});
    output_sum(b.conv("big", b.x, {.pads = {1, 1, 1, 1}, .groups = 2}, 6, 6), b.conv("small", b.x, {.kernel = {1, 1}, .groups = 3}, 6, 6));
  }
  SUBCASE("when an identity broadcasts over channels") {
    b.graph.set_input_shape(b.x, {1, 1, 7, 7});
    output_sum(b.conv("big", b.x, dense, 1, 4), b.x);
  }
  SUBCASE("when kernels lie beside each other") {
    output_sum(b.conv("up", b.x, {.pads = {2, 1, 0, 1}}), b.conv("down", b.x, {.pads = {0, 1, 2, 1}}));
  }
  SUBCASE("when the small kernel falls between the taps") {
    output_sum(b.conv("big", b.x, {.pads = {2, 2, 2, 2}, .dilations = {2, 2}}), b.conv("small", b.x, {.pads = {1, 1, 1, 1}}));
  }
  SUBCASE("when a dense kernel would have to grow the grouped one") {
    output_sum(b.conv("big", b.x, {.pads = {1, 1, 1, 1}, .groups = 4}), b.conv("small", b.x, kPointwise));
  }
  SUBCASE("when neither kernel holds the other") {
    output_sum(b.conv("1x3", b.x, {.kernel = {1, 3}, .pads = {0, 1, 0, 1}}), b.conv("3x1", b.x, {.kernel = {3, 1}, .pads = {1, 0, 1, 0}}));
  }
  SUBCASE("when same padding depends on unknown sizes") {
    b.graph.set_input_shape(b.x, {1, 4, Dim::symbol("H"), Dim::symbol("W")});
    output_sum(b.conv("big", b.x, {.strides = {2, 2}, .auto_pad = AutoPad::same_upper}),
               b.conv("small", b.x, {.kernel = {1, 1}, .strides = {2, 2}}));
  }
  SUBCASE("when it is a difference") {
    b.output(b.graph.add("sub", Binary{BinaryKind::sub}, {b.conv("big", b.x), b.conv("small", b.x, kPointwise)}));
  }
  SUBCASE("when there is no convolution") { output_sum(b.norm("bn", b.x), b.x); }
  SUBCASE("when an activation lies between two sums") {
    const ValueId inner = b.graph.add("inner", Binary{BinaryKind::add, {ActivationKind::relu}}, {b.conv("big", b.x), b.relu("relu", b.x)});
    output_sum(inner, b.conv("small", b.x, kPointwise));
  }
  check_does_not_fire(b.graph, kPass);
}
