// The oracle's own tests: results worked out by hand, or by a second formula.
#include "tests/support/reference.h"

#include <doctest/doctest.h>

#include <cmath>
#include <konv/error.hpp>

#include "tests/support/compare.h"
#include "tests/support/random_graph.h"

using namespace konv;
using namespace konv::test;

namespace {

using Floats = std::vector<float>;

/// One node whose inputs are all constants.
Tensor compute(const Op& op, const std::vector<Tensor>& inputs) {
  Graph graph;
  std::vector<ValueId> ids;
  for (const Tensor& input : inputs) ids.push_back(input.bytes ? graph.add_constant("", input) : ValueId{});
  graph.add_output(graph.add("node", op, ids));
  return run_reference(graph, {}).at(0);
}

Tensor counting(Dims dims) {
  Floats values;
  for (std::int64_t i = 0; i < element_count(dims); ++i) values.push_back(static_cast<float>(i));
  return make_f32(std::move(dims), values);
}

Tensor ints(const Ints& values) { return make_i64({std::ssize(values)}, values); }
Tensor floats(Dims dims, const Floats& values) { return make_f32(std::move(dims), values); }

void check(const Tensor& found, const Dims& dims, const Floats& expected) { CHECK_CLOSE(found, make_f32(dims, expected), 1e-6); }

}  // namespace

TEST_CASE("convolution of a counting image") {
  const Tensor ones = floats({1, 1, 2, 2}, {1, 1, 1, 1});
  check(compute(Conv{}, {counting({1, 1, 3, 3}), ones}), {1, 1, 2, 2}, {8, 12, 20, 24});
  check(compute(Conv{{.strides = {2, 2}, .pads = {1, 1, 0, 0}}}, {counting({1, 1, 3, 3}), ones}), {1, 1, 2, 2}, {0, 3, 9, 24});
  check(compute(Conv{{.dilations = {2, 2}}}, {counting({1, 1, 3, 3}), ones}), {1, 1, 1, 1}, {16});
  check(compute(Conv{{.auto_pad = AutoPad::same_upper}}, {counting({1, 1, 2, 2}), ones}), {1, 1, 2, 2}, {6, 4, 5, 3});
  check(compute(Conv{{.auto_pad = AutoPad::same_lower}}, {counting({1, 1, 2, 2}), ones}), {1, 1, 2, 2}, {0, 1, 2, 6});
}

TEST_CASE("bias, residual and activation follow the convolution in this order") {
  Conv conv;
  conv.activation = {ActivationKind::relu};
  const Tensor y = compute(conv, {floats({1, 1, 3}, {1, 2, 3}), floats({1, 1, 1}, {2}), floats({1}, {1}), floats({1, 1, 3}, {-4, -4, -4})});
  check(y, {1, 1, 3}, {0, 1, 3});
}

TEST_CASE("groups and depthwise weights see their own channels only") {
  const Tensor x = floats({1, 4, 1}, {1, 10, 100, 1000});
  check(compute(Conv{.groups = 2}, {x, floats({2, 2, 1}, {1, 2, 3, 4})}), {1, 2, 1}, {21, 4300});
  check(compute(Conv{.groups = 4}, {x, floats({4, 1, 1}, {1, 2, 3, 4})}), {1, 4, 1}, {1, 20, 300, 4000});
}

TEST_CASE("a three-dimensional convolution") {
  const Tensor ones = floats({1, 1, 2, 2, 2}, Floats(8, 1));
  check(compute(Conv{}, {counting({1, 1, 2, 2, 2}), ones}), {1, 1, 1, 1, 1}, {28});
}

TEST_CASE("a transposed convolution is the transpose of the convolution's matrix") {
  // <conv(x), y> = <x, conv^T(y)> for the same weight.
  Rng rng(5);
  for (const Window& window :
       {Window{}, Window{.strides = {2, 1}, .pads = {1, 0, 0, 1}}, Window{.pads = {1, 1, 1, 1}, .dilations = {2, 2}}}) {
    const Tensor weight = random_tensor(rng, {4, 3, 3, 2}), x = random_tensor(rng, {1, 6, 6, 6});  // [out, in / groups, kernel]
    const Tensor conv = compute(Conv{.window = window, .groups = 2}, {x, weight});
    const Tensor y = random_tensor(rng, conv.dims), exact = compute(ConvTranspose{.window = window, .groups = 2}, {y, weight});
    REQUIRE(exact.dims == x.dims);
    double left = 0, right = 0;
    for (std::size_t i = 0; i < conv.f32().size(); ++i) left += conv.f32()[i] * y.f32()[i];
    for (std::size_t i = 0; i < x.f32().size(); ++i) right += x.f32()[i] * exact.f32()[i];
    CHECK(left == doctest::Approx(right).epsilon(1e-5));
  }
  const Tensor ones = floats({1, 1, 2}, {1, 1});
  check(compute(ConvTranspose{.window = {.strides = {2}}, .output_padding = {1}}, {floats({1, 1, 2}, {1, 2}), ones, floats({1}, {5})}),
        {1, 1, 5}, {6, 6, 7, 7, 5});
  check(compute(ConvTranspose{.window = {.pads = {1, 0}}}, {floats({1, 1, 2}, {1, 2}), ones}), {1, 1, 2}, {3, 2});
  // Of 1 3 2, an output of two pixels cuts one: at the beginning unless same_upper asks for the end.
  check(compute(ConvTranspose{.output_shape = {2}}, {floats({1, 1, 2}, {1, 2}), ones}), {1, 1, 2}, {3, 2});
  check(compute(ConvTranspose{.window = {.auto_pad = AutoPad::same_upper}}, {floats({1, 1, 2}, {1, 2}), ones}), {1, 1, 2}, {1, 3});
}

TEST_CASE("pooling") {
  const Tensor x = counting({1, 1, 5});
  check(compute(Pool{PoolKind::max, {2}, {.strides = {2}}}, {x}), {1, 1, 2}, {1, 3});
  check(compute(Pool{PoolKind::max, {2}, {.strides = {2}}, true}, {x}), {1, 1, 3}, {1, 3, 4});
  check(compute(Pool{PoolKind::max, {2}, {.dilations = {3}}}, {x}), {1, 1, 2}, {3, 4});
  check(compute(Pool{PoolKind::average, {3}, {.pads = {1, 1}}}, {x}), {1, 1, 5}, {0.5f, 1, 2, 3, 3.5f});
  check(compute(Pool{PoolKind::average, {3}, {.pads = {1, 1}}, false, true}, {x}), {1, 1, 5}, {1 / 3.0f, 1, 2, 3, 7 / 3.0f});
  // The last window reaches one pixel beyond the padding, which never counts.
  check(compute(Pool{PoolKind::average, {3}, {.strides = {3}, .pads = {0, 0}}, true, true}, {x}), {1, 1, 2}, {1, 3.5f});
  // Windows that would start in the end padding are dropped.
  check(compute(Pool{PoolKind::max, {1}, {.strides = {2}, .pads = {0, 1}}, true}, {x}), {1, 1, 3}, {0, 2, 4});
  check(compute(Pool{PoolKind::max, {2}, {.pads = {1, 0}}}, {floats({1, 1, 2}, {-3, -5})}), {1, 1, 2}, {-3, -3});
}

TEST_CASE("matrices") {
  const Tensor a = counting({2, 3}), b = counting({3, 2}), c = floats({2}, {10, 20});
  check(compute(Gemm{}, {a, b}), {2, 2}, {10, 13, 28, 40});
  check(compute(Gemm{.alpha = 2, .beta = 0.5f}, {a, b, c}), {2, 2}, {25, 36, 61, 90});
  check(compute(Gemm{.transpose_a = true, .transpose_b = true}, {counting({3, 2}), counting({2, 3})}), {2, 2}, {10, 28, 13, 40});
  check(compute(MatMul{}, {a, b}), {2, 2}, {10, 13, 28, 40});
  check(compute(MatMul{}, {counting({2, 1, 2}), counting({2, 1})}), {2, 1, 1}, {1, 3});
  check(compute(MatMul{}, {floats({2}, {1, 2}), floats({2}, {3, 4})}), {}, {11});
  check(compute(MatMul{}, {counting({2, 2}), floats({2}, {1, 1})}), {2}, {1, 5});
}

TEST_CASE("normalization and elementwise functions") {
  const Tensor x = floats({1, 2, 1}, {3, 5});
  check(compute(BatchNorm{.epsilon = 0}, {x, floats({2}, {2, 1}), floats({2}, {1, 0}), floats({2}, {1, 1}), floats({2}, {4, 16})}),
        {1, 2, 1}, {3, 1});
  const Tensor signs = floats({3}, {-2, 0.5f, 8});
  check(compute(Unary{{ActivationKind::relu}}, {signs}), {3}, {0, 0.5f, 8});
  check(compute(Unary{{ActivationKind::leaky_relu, 0.5f}}, {signs}), {3}, {-1, 0.5f, 8});
  check(compute(Unary{{ActivationKind::clip, 0, 6}}, {signs}), {3}, {0, 0.5f, 6});
  check(compute(Unary{{ActivationKind::hard_sigmoid, 0.2f, 0.5f}}, {signs}), {3}, {0.1f, 0.6f, 1});
  check(compute(Unary{{ActivationKind::hard_swish}}, {signs}), {3}, {-1 / 3.0f, 0.5f * 3.5f / 6, 8});
  for (const ActivationKind kind : {ActivationKind::sigmoid, ActivationKind::tanh, ActivationKind::silu}) {
    Floats expected;
    for (const float value : signs.f32()) expected.push_back(apply({kind}, value));
    check(compute(Unary{{kind}}, {signs}), {3}, expected);
  }
}

TEST_CASE("arithmetic broadcasts, and integers stay integers") {
  check(compute(Binary{BinaryKind::sub}, {floats({2, 1}, {1, 2}), floats({3}, {1, 2, 3})}), {2, 3}, {0, -1, -2, 1, 0, -1});
  check(compute(Binary{BinaryKind::div, {ActivationKind::relu}}, {floats({2}, {1, -2}), floats({}, {4})}), {2}, {0.25f, 0});
  CHECK_CLOSE(compute(Binary{BinaryKind::div}, {ints({7, -7, 7}), ints({2, 2, 0})}), ints({3, -3, 0}), 0);
  CHECK_CLOSE(compute(Binary{BinaryKind::mul}, {ints({1LL << 40}), ints({3})}), ints({3LL << 40}), 0);
}

TEST_CASE("softmax and reductions") {
  const float e = std::exp(1.0f);
  check(compute(Softmax{0}, {floats({2, 1}, {0, 1})}), {2, 1}, {1 / (1 + e), e / (1 + e)});
  check(compute(Softmax{-1}, {floats({2, 1}, {0, 1})}), {2, 1}, {1, 1});
  check(compute(Softmax{1, true}, {floats({1, 2, 2}, {0, 0, 0, 0})}), {1, 2, 2}, {0.25f, 0.25f, 0.25f, 0.25f});
  check(compute(Reduce{ReduceKind::mean, {-1}}, {counting({2, 2})}), {2, 1}, {0.5f, 2.5f});
  check(compute(Reduce{ReduceKind::sum, {0}, false}, {counting({2, 2})}), {2}, {2, 4});
  check(compute(Reduce{ReduceKind::max, {}, false}, {counting({2, 2})}), {}, {3});
  check(compute(Reduce{ReduceKind::min, {0, 1}}, {counting({2, 2})}), {1, 1}, {0});
}

TEST_CASE("data movement") {
  const Tensor x = counting({2, 3});
  check(compute(Concat{-1}, {x, floats({2, 1}, {7, 8})}), {2, 4}, {0, 1, 2, 7, 3, 4, 5, 8});
  check(compute(Pad{PadMode::constant, 9}, {x, ints({0, 1, 0, -1})}), {2, 3}, {9, 0, 1, 9, 3, 4});
  check(compute(Pad{PadMode::reflect}, {floats({3}, {1, 2, 3}), ints({2, 1})}), {6}, {3, 2, 1, 2, 3, 2});
  check(compute(Pad{PadMode::edge}, {floats({2}, {1, 2}), ints({2, 1})}), {5}, {1, 1, 1, 2, 2});
  check(compute(Slice{}, {x, ints({1}), ints({3}), ints({1})}), {2, 2}, {1, 2, 4, 5});
  check(compute(Slice{}, {x, ints({-1}), ints({-100}), ints({-1}), ints({-1})}), {2, 3}, {2, 1, 0, 5, 4, 3});
  check(compute(Slice{}, {counting({5}), ints({0}), ints({INT64_MAX}), Tensor{}, ints({2})}), {3}, {0, 2, 4});
  check(compute(Flatten{}, {counting({1, 2, 2})}), {1, 4}, {0, 1, 2, 3});
  check(compute(Reshape{}, {x, ints({0, 1, -1})}), {2, 1, 3}, {0, 1, 2, 3, 4, 5});
  check(compute(Transpose{}, {x}), {3, 2}, {0, 3, 1, 4, 2, 5});
  check(compute(Transpose{{1, 2, 0}}, {counting({2, 1, 2})}), {1, 2, 2}, {0, 2, 1, 3});
  check(compute(Squeeze{}, {counting({1, 2, 1})}), {2}, {0, 1});
  check(compute(Squeeze{{-1}}, {counting({1, 2, 1})}), {1, 2}, {0, 1});
  check(compute(Unsqueeze{{0, -1}}, {counting({2})}), {1, 2, 1}, {0, 1});
  check(compute(Identity{}, {x}), {2, 3}, {0, 1, 2, 3, 4, 5});
  check(compute(Gather{1}, {x, ints({2, -3})}), {2, 2}, {2, 0, 5, 3});
  check(compute(Gather{0}, {x, make_i64({}, Ints{1})}), {3}, {3, 4, 5});
  check(compute(Expand{}, {floats({2, 1}, {1, 2}), ints({3, 1, 2})}), {3, 2, 2}, {1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2});
  check(compute(ConstantOfShape{DType::float32, 1.5}, {ints({2, 1})}), {2, 1}, {1.5f, 1.5f});
  CHECK_CLOSE(compute(ShapeOf{1}, {counting({4, 2, 3})}), ints({2, 3}), 0);
  CHECK_CLOSE(compute(ShapeOf{0, -1}, {counting({4, 2, 3})}), ints({4, 2}), 0);
}

TEST_CASE("conversions round as the type does") {
  CHECK_CLOSE(compute(Cast{DType::int64}, {floats({2}, {1.9f, -1.9f})}), ints({1, -1}), 0);
  check(compute(Cast{DType::float32}, {ints({3, -4})}), {2}, {3, -4});
  check(compute(Cast{DType::float16}, {floats({3}, {1.0001f, 2049, 1e-8f})}), {3}, {1, 2048, 0});
  check(compute(Cast{DType::bfloat16}, {floats({2}, {257, 1.01f})}), {2}, {256, 1.0078125f});
  CHECK(std::isinf(compute(Cast{DType::float16}, {floats({1}, {70000})}).f32()[0]));
}

TEST_CASE("pruned rows of a weight count as zeros") {
  Graph graph;
  const ValueId x = graph.add_constant("x", floats({1, 2, 2}, {1, 10, 100, 1000}));
  const ValueId weight = graph.add_constant("weight", floats({1, 2}, {2, 3}));
  graph.value(weight).kept_rows = KeptRows{{1, 2}, 1, {1, 2, 2}};
  graph.add_output(graph.add("conv", Conv{}, {x, weight}));
  check(run_reference(graph, {})[0], {1, 1, 1}, {2 * 10 + 3 * 100});
}

TEST_CASE("inputs go by name and a missing one is named") {
  Rng rng(1);
  const Graph graph = residual_block(rng);
  CHECK_THROWS_WITH_AS(run_reference(graph, {}), "reference: input 'x' is missing", Error);
  const std::vector<Tensor> outputs = run_reference(graph, random_inputs(rng, graph));
  REQUIRE(outputs.size() == 1);
  CHECK(outputs[0].dims == Dims{1, 4, 8, 8});
}
