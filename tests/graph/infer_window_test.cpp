// Expected sizes are worked out by hand from the formulas of ONNX Conv, MaxPool and ConvTranspose.
#include <doctest/doctest.h>

#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

namespace {

WindowGeometry same(AutoPad mode, std::int64_t stride, std::int64_t kernel, const Dim& size, std::int64_t dilation = 1) {
  return window_geometry("node", {{stride}, {}, {dilation}, mode}, {kernel}, {size});
}

std::string pads(const WindowGeometry& g) { return g.pads_begin.empty() ? "open" : to_string(g.pads_begin) + "+" + to_string(g.pads_end); }

/// Output of a one-dimensional pool window over `size` pixels.
std::string pooled(std::int64_t size, std::int64_t kernel, std::int64_t stride, Ints pad, bool ceil_mode) {
  return to_string(window_geometry("node", window({stride}, std::move(pad)), {kernel}, {size}, ceil_mode).output);
}

std::string transposed(const ConvTranspose& op, const Dim& size, std::int64_t kernel) {
  const WindowGeometry g = transposed_geometry("node", op, {kernel}, {size});
  return to_string(g.output) + " " + pads(g);
}

std::string conv(Shape input, Dims weight, Conv op, Dims bias = {}) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, std::move(input));
  std::vector<ValueId> inputs{x, weights(graph, "w", std::move(weight))};
  if (!bias.empty()) inputs.push_back(weights(graph, "b", std::move(bias)));
  const ValueId y = graph.add("c", std::move(op), std::move(inputs));
  std::string shape;
  const std::string error = error_of([&] { shape = inferred(graph, y); });
  return shape.empty() ? error : shape;
}

}  // namespace

TEST_CASE("window: explicit padding, stride, dilation") {
  CHECK(conv({sym("N"), 3, 32, 32}, {16, 3, 3, 3}, {window({1, 1}, {1, 1, 1, 1})}) == "Nx16x32x32");
  CHECK(conv({sym("N"), 3, 224, 224}, {64, 3, 7, 7}, {window({2, 2}, {3, 3, 3, 3})}) == "Nx64x112x112");
  CHECK(conv({1, 3, 10, 9}, {8, 3, 3, 2}, {window({2, 3}, {0, 1, 2, 0}, {2, 1})}) == "1x8x4x3");  // (10+2-5)/2+1, (9+1-2)/3+1
  CHECK(conv({1, 3, 10, 9}, {8, 3, 3, 2}, {}) == "1x8x8x8");
  CHECK(conv({1, 8, 5, 5}, {8, 1, 3, 3}, {.groups = 8}) == "1x8x3x3");
}

TEST_CASE("window: one and three spatial dimensions") {
  CHECK(conv({2, 4, 10}, {6, 4, 3}, {window({1}, {1, 1})}) == "2x6x10");
  CHECK(conv({2, 4, 10, 10, 10}, {6, 4, 3, 3, 3}, {window({2, 2, 2}, {1, 1, 1, 1, 1, 1})}) == "2x6x5x5x5");
}

TEST_CASE("window: symbolic image sizes") {
  const Shape image{sym("N"), 3, sym("H"), sym("W")};
  CHECK(conv(image, {8, 3, 3, 3}, {window({1, 1}, {1, 1, 1, 1})}) == "Nx8xHxW");
  CHECK(conv(image, {8, 3, 3, 3}, {window({2, 2}, {1, 1, 1, 1})}) == "Nx8x?x?");
  CHECK(conv(image, {8, 3, 1, 1}, {}) == "Nx8xHxW");
}

TEST_CASE("window: same padding, odd pixel after or before") {
  CHECK(pads(same(AutoPad::same_upper, 2, 3, 8)) == "0+1");  // out 4: (4-1)*2+3-8 = 1
  CHECK(pads(same(AutoPad::same_lower, 2, 3, 8)) == "1+0");
  CHECK(to_string(same(AutoPad::same_upper, 2, 3, 8).output) == "4");
  CHECK(to_string(same(AutoPad::same_upper, 2, 3, 7).output) == "4");
  CHECK(pads(same(AutoPad::same_upper, 2, 3, 7)) == "1+1");
  CHECK(pads(same(AutoPad::same_upper, 1, 4, 9)) == "1+2");
  CHECK(pads(same(AutoPad::same_lower, 1, 4, 9)) == "2+1");
  CHECK(pads(same(AutoPad::same_upper, 3, 1, 9)) == "0+0");     // nothing to pad: (3-1)*3+1-9 < 0
  CHECK(pads(same(AutoPad::same_upper, 1, 3, 9, 2)) == "2+2");  // reach 5
}

TEST_CASE("window: same padding of unknown sizes stays open, unless the stride is 1") {
  CHECK(pads(same(AutoPad::same_upper, 2, 3, sym("H"))) == "open");
  CHECK(to_string(same(AutoPad::same_upper, 2, 3, sym("H")).output) == "?");
  CHECK(pads(same(AutoPad::same_upper, 1, 3, sym("H"))) == "1+1");
  CHECK(to_string(same(AutoPad::same_upper, 1, 3, sym("H")).output) == "H");
}

TEST_CASE("window: valid padding is none") {
  const WindowGeometry g = window_geometry("node", {{2}, {}, {}, AutoPad::valid}, {3}, {8});
  CHECK(to_string(g.output) == "3");
  CHECK(pads(g) == "0+0");
}

TEST_CASE("window: ceil mode drops windows that start in the end padding") {
  CHECK(pooled(6, 3, 2, {}, false) == "2");
  CHECK(pooled(6, 3, 2, {}, true) == "3");         // starts 0, 2, 4
  CHECK(pooled(7, 3, 2, {}, true) == "3");         // fits evenly
  CHECK(pooled(4, 1, 3, {}, true) == "2");         // starts 0, 3
  CHECK(pooled(2, 1, 3, {1, 1}, true) == "1");     // ceil gives 2, its start 2 lies in the end padding
  CHECK(pooled(3, 2, 2, {1, 1}, true) == "2");     // ceil gives 3, its start 3 lies in the end padding
  CHECK(pooled(112, 3, 2, {1, 1}, true) == "57");  // starts up to 111
  CHECK(pooled(112, 3, 2, {1, 1}, false) == "56");
}

TEST_CASE("pool: channels stay, padding stays below the window") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {sym("N"), 64, 112, 112});
  const ValueId y = graph.add("pool", Pool{.kernel = {3, 3}, .window = window({2, 2}, {1, 1, 1, 1})}, {x});
  CHECK(inferred(graph, y) == "Nx64x56x56");
  graph.add("bad", Pool{.kernel = {2, 2}, .window = window({2, 2}, {2, 0, 0, 0})}, {x});
  CHECK(has(error_of([&] { infer(graph); }), "node 'bad' (MaxPool): padding 2 around a window of 2"));
}

TEST_CASE("transposed convolution: sizes and paddings") {
  ConvTranspose op{window({2}, {1, 1})};
  CHECK(transposed(op, 5, 4) == "10 1+1");  // 2*4 + 4 - 2
  op.output_padding = {1};
  CHECK(transposed(op, 5, 3) == "10 1+1");  // 2*4 + 1 + 3 - 2
  CHECK(transposed(op, sym("W"), 3) == "? 1+1");

  ConvTranspose shaped{window({2}, {})};
  shaped.output_shape = {10};
  CHECK(transposed(shaped, 5, 3) == "10 1+0");  // full 11, one to cut: the begin, as ONNX has it
  shaped.window.auto_pad = AutoPad::same_upper;
  CHECK(transposed(shaped, 5, 3) == "10 0+1");
  CHECK(transposed(shaped, sym("W"), 3) == "10 open");

  ConvTranspose same_size{window({2}, {})};
  same_size.window.auto_pad = AutoPad::same_upper;
  CHECK(transposed(same_size, 5, 3) == "10 0+1");
  CHECK(transposed(same_size, 5, 1) == "10 0+0");  // taps reach 9; the last pixel holds the bias
  same_size.window.auto_pad = AutoPad::same_lower;
  CHECK(transposed(same_size, 5, 3) == "10 1+0");
}

TEST_CASE("transposed convolution: channels are weight dimension 1 times groups") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {sym("N"), 8, 5, 5});
  const ValueId y = graph.add("up", ConvTranspose{.window = window({2, 2}, {}), .groups = 2}, {x, weights(graph, "w", {8, 3, 2, 2})});
  CHECK(inferred(graph, y) == "Nx6x10x10");
  graph.add("bad", ConvTranspose{}, {x, weights(graph, "w2", {4, 3, 2, 2})});
  CHECK(error_of([&] { infer(graph); }) == "node 'bad' (ConvTranspose): weight has 4 input channels; expected 8 as the input");
}

TEST_CASE("convolution: what does not fit is named") {
  CHECK(conv({1, 64, 8, 8}, {8, 24, 3, 3}, {.groups = 2}) ==
        "node 'c' (Conv): weight has 24 input channels; expected 32 (input 64 / groups 2)");
  CHECK(conv({1, 3, 2, 2}, {8, 3, 5, 5}, {}) == "node 'c' (Conv): window of 5 over 2 pixels with padding 0 + 0; expected at most 2");
  CHECK(conv({1, 3, 8, 8}, {8, 3, 3}, {}) == "node 'c' (Conv): weight is 8x3x3; expected 4 dimensions as the input 1x3x8x8");
  CHECK(conv({1, 3, 8, 8}, {8, 3, 3, 3}, {}, {7}) == "node 'c' (Conv): bias is 7; expected one number for each of 8 output channels");
  CHECK(conv({1, 4, 8, 8}, {9, 2, 3, 3}, {.groups = 2}) == "node 'c' (Conv): 9 output channels in 2 groups; expected groups of one size");
  CHECK(conv({1, 3}, {8, 3}, {}) == "node 'c' (Conv): input is 1x3; expected batch, channels and at least one spatial dimension");
  CHECK(conv({1, 3, 8, 8}, {8, 3, 3, 3}, {window({1}, {})}) == "node 'c' (Conv): 1 strides; expected 2");
}

TEST_CASE("convolution: the residual has the output's shape") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {sym("N"), 3, 8, 8});
  const ValueId other = graph.add_input("r", DType::float32, {sym("N"), 4, 8, 8});
  const ValueId w = weights(graph, "w", {4, 3, 1, 1}), w3 = weights(graph, "w3", {4, 3, 3, 3});
  CHECK(inferred(graph, graph.add("c", Conv{}, {x, w, ValueId{}, other})) == "Nx4x8x8");
  graph.add("d", Conv{}, {x, w3, ValueId{}, other});
  CHECK(error_of([&] { infer(graph); }) == "node 'd' (Conv): residual is Nx4x8x8; expected Nx4x6x6 as the output");
}

TEST_CASE("convolution: a pruned weight counts as what it was") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1, 3, 8, 8});
  const ValueId w = weights(graph, "w", {4, 2});
  graph.value(w).kept_rows = KeptRows{{5, 9}, 1, {4, 3, 3, 3}};
  const ValueId y = graph.add("c", Conv{window({1, 1}, {1, 1, 1, 1})}, {x, w});
  graph.add_output(y);
  CHECK(inferred(graph, y) == "1x4x8x8");
  CHECK(verify_error(graph) == "no error");
}
