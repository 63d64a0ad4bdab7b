// fold-scale, merge-batch-norms, fold-leading-batch-norm
#include "tests/passes/check.h"

using namespace konv;
using namespace konv::test;

namespace {

Binary arithmetic(BinaryKind kind) { return {kind, {}}; }

Tensor scalar(float value) { return make_f32({}, {&value, 1}); }

}  // namespace

TEST_CASE("constants behind a convolution go into its weights") {
  for (const BinaryKind kind : {BinaryKind::mul, BinaryKind::add, BinaryKind::sub, BinaryKind::div}) {
    for (const Dims& dims : {Dims{}, Dims{1}, Dims{4, 1, 1}, Dims{1, 4, 1, 1}}) {
      CAPTURE(static_cast<int>(kind));
      Bench b;
      const ValueId constant = b.graph.add_constant("c", random_tensor(b.rng, dims, 0.5f, 2));
      b.output(b.graph.add("scaled", arithmetic(kind), {b.conv("conv", b.x), constant}));
      CHECK(check_fires(b.graph, "fold-scale") == std::vector<std::string>{"conv: folded scaled"});
      CHECK(count_nodes(b.graph) == 1);
    }
  }
  Bench b;
  b.output(b.graph.add("from", arithmetic(BinaryKind::sub), {b.graph.add_constant("c", scalar(2)), b.conv("conv", b.x, {.bias = false})}));
  check_fires(b.graph, "fold-scale");
  CHECK(count_nodes(b.graph) == 1);
}

TEST_CASE("constants behind a matrix product go into its weights") {
  Bench b;
  const ValueId flat = b.graph.add("flat", Flatten{}, {b.x});
  const ValueId y = b.graph.add("gemm", Gemm{.alpha = 0.5f}, {flat, b.constant("w", {4 * 49, 5})});
  b.output(b.graph.add("scaled", arithmetic(BinaryKind::mul), {y, b.constant("c", {5})}));
  check_fires(b.graph, "fold-scale");
  CHECK(count_nodes(b.graph) == 2);
}

TEST_CASE("constants that are no factor or summand of a channel stay") {
  const auto stays = [](const auto& build) {
    Bench b;
    build(b);
    check_does_not_fire(b.graph, "fold-scale");
  };
  stays([](Bench& b) { b.output(b.graph.add("per pixel", arithmetic(BinaryKind::mul), {b.conv("conv", b.x), b.constant("c", {7})})); });
  stays([](Bench& b) {
    b.output(b.graph.add("wider", arithmetic(BinaryKind::mul), {b.conv("conv", b.x), b.constant("c", {2, 1, 1, 1, 1})}));
  });
  stays([](Bench& b) { b.output(b.graph.add("inverse", arithmetic(BinaryKind::div), {b.constant("c", {1}), b.conv("conv", b.x)})); });
  stays([](Bench& b) {
    b.output(b.graph.add("zero", arithmetic(BinaryKind::div), {b.conv("conv", b.x), b.graph.add_constant("c", scalar(0))}));
  });
  stays([](Bench& b) { b.output(b.graph.add("largest", arithmetic(BinaryKind::max), {b.conv("conv", b.x), b.constant("c", {1})})); });
  stays([](Bench& b) {
    const ValueId y = b.conv("conv", b.x);
    b.output(b.graph.add("scaled", arithmetic(BinaryKind::mul), {y, b.constant("c", {1})}));
    b.output(y);  // somebody else needs the unscaled value
  });
  stays([](Bench& b) {
    const ValueId y = b.conv("conv", b.x, {.pads = {1, 1, 1, 1}, .activation = {ActivationKind::relu, 0, 0}});
    b.output(b.graph.add("scaled", arithmetic(BinaryKind::mul), {y, b.constant("c", {1})}));
  });
}

TEST_CASE("two norms in a row become one") {
  Bench b;
  b.output(b.relu("relu", b.norm("second", b.norm("first", b.x))));
  CHECK(check_fires(b.graph, "merge-batch-norms") == std::vector<std::string>{"second: merged first"});
  CHECK(count_nodes(b.graph) == 2);
  Bench shared;
  const ValueId first = shared.norm("first", shared.x);
  shared.output(shared.norm("second", first));
  shared.output(first);
  check_does_not_fire(shared.graph, "merge-batch-norms");
}

TEST_CASE("a norm in front of a convolution that pads nothing goes into its weights") {
  for (const std::int64_t groups : {1, 2}) {
    Bench b;
    b.output(b.conv("conv", b.norm("norm", b.x), {.groups = groups, .bias = groups == 1}));
    CHECK(check_fires(b.graph, "fold-leading-batch-norm") == std::vector<std::string>{"conv: folded norm"});
    CHECK(count_nodes(b.graph) == 1);
  }
}

TEST_CASE("a norm in front of a convolution that pads stays") {
  Bench b;
  b.output(b.conv("conv", b.norm("norm", b.x)));
  check_does_not_fire(b.graph, "fold-leading-batch-norm");
  Bench same;
  same.output(same.conv("conv", same.norm("norm", same.x), {.auto_pad = AutoPad::same_lower}));
  check_does_not_fire(same.graph, "fold-leading-batch-norm");
  Bench shared;
  const ValueId norm = shared.norm("norm", shared.x);
  shared.output(shared.conv("conv", norm, {}));
  shared.output(norm);
  check_does_not_fire(shared.graph, "fold-leading-batch-norm");
}
