// Shapes as tensors: what exporters write where PyTorch says x.view(x.size(0), -1).
#include <doctest/doctest.h>

#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

namespace {

/// x [N, 64, 1, 1] and its shape.
struct Exported {
  Graph graph;
  ValueId x = graph.add_input("x", DType::float32, {sym("N"), 64, 1, 1});
  ValueId shape = graph.add("shape", ShapeOf{}, {x});

  ValueId size(const char* name, std::int64_t i) { return graph.add(name, Gather{}, {shape, scalar(graph, "index", i)}); }
};

}  // namespace

TEST_CASE("shape arithmetic: Shape, Gather, Unsqueeze, Concat, Reshape") {
  Exported e;
  const ValueId batch = e.graph.add("batch", Unsqueeze{{0}}, {e.size("gather", 0)});
  const ValueId wanted = e.graph.add("wanted", Concat{0}, {batch, ints(e.graph, "rest", {-1})});
  const ValueId y = e.graph.add("y", Reshape{}, {e.x, wanted});
  CHECK(inferred_ints(e.graph, e.shape) == "Nx64x1x1");
  CHECK(inferred_ints(e.graph, wanted) == "Nx-1");
  CHECK(inferred(e.graph, y) == "Nx64");
  CHECK(inferred(e.graph, y, {{e.x, {5, 64, 1, 1}}}) == "5x64");
}

TEST_CASE("shape arithmetic: a batch in the middle cancels, too") {
  Exported e;
  const ValueId batch = e.graph.add("batch", Unsqueeze{{0}}, {e.size("gather", 0)});
  const ValueId wanted = e.graph.add("wanted", Concat{0}, {ints(e.graph, "rest", {8, -1}), batch});
  CHECK(inferred(e.graph, e.graph.add("y", Reshape{}, {e.x, wanted})) == "8x8xN");
}

TEST_CASE("shape arithmetic: slices of shapes, forwards and backwards") {
  Exported e;
  const ValueId head = e.graph.add("head", Slice{}, {e.shape, ints(e.graph, "s", {0}), ints(e.graph, "e", {2})});
  const ValueId back =
      e.graph.add("back", Slice{},
                  {e.shape, ints(e.graph, "s", {-1}), ints(e.graph, "e", {INT64_MIN}), ints(e.graph, "a", {0}), ints(e.graph, "t", {-1})});
  CHECK(inferred_ints(e.graph, head) == "Nx64");
  CHECK(inferred_ints(e.graph, back) == "1x1x64xN");
  CHECK(inferred_ints(e.graph, e.graph.add("part", ShapeOf{1, -1}, {e.x})) == "64x1");
  CHECK(inferred(e.graph, e.graph.add("none", ShapeOf{3, 1}, {e.x})) == "0");
}

TEST_CASE("shape arithmetic: numbers calculate") {
  Exported e;
  const ValueId channels = e.size("channels", 1), batch = e.size("batch", 0), two = scalar(e.graph, "two", 2);
  const auto binary = [&](BinaryKind kind, ValueId a, ValueId b) {
    return inferred_ints(e.graph, e.graph.add("b", Binary{kind, {}}, {a, b}));
  };
  CHECK(inferred(e.graph, channels) == "scalar");
  CHECK(binary(BinaryKind::div, channels, two) == "32");
  CHECK(binary(BinaryKind::mul, e.shape, two) == "?x128x2x2");
  CHECK(binary(BinaryKind::sub, batch, batch) == "0");
  CHECK(binary(BinaryKind::add, channels, two) == "66");
  e.graph.add("bad", Binary{BinaryKind::div, {}}, {channels, scalar(e.graph, "zero", 0)});
  CHECK(error_of([&] { infer(e.graph); }) == "node 'bad' (Div): division by zero; expected another divisor");
}

TEST_CASE("shape arithmetic: casts, squeezes, reshapes and copies keep the numbers") {
  Exported e;
  const ValueId narrow = e.graph.add("narrow", Cast{DType::int32}, {e.shape}), wide = e.graph.add("wide", Cast{DType::int64}, {narrow});
  CHECK(inferred_ints(e.graph, wide) == "Nx64x1x1");
  CHECK(inferred_ints(e.graph, e.graph.add("float", Cast{DType::float32}, {e.shape})) == "unknown");
  CHECK(inferred_ints(e.graph, e.graph.add("copy", Identity{}, {e.shape})) == "Nx64x1x1");
  const ValueId one = e.graph.add("one", Unsqueeze{{0}}, {e.size("channels", 1)});
  CHECK(inferred_ints(e.graph, e.graph.add("squeezed", Squeeze{{0}}, {one})) == "64");
  CHECK(inferred_ints(e.graph, e.graph.add("flat", Reshape{}, {e.size("again", 1), ints(e.graph, "minus", {-1})})) == "64");
  CHECK(inferred_ints(e.graph, e.graph.add("square", Reshape{}, {e.shape, ints(e.graph, "2x2", {2, 2})})) == "unknown");
}

TEST_CASE("shape arithmetic: filled and expanded") {
  Exported e;
  const ValueId four = ints(e.graph, "four", {4});
  const ValueId ones = e.graph.add("ones", ConstantOfShape{DType::int64, 1}, {four});
  CHECK(inferred_ints(e.graph, ones) == "1x1x1x1");
  CHECK(inferred_ints(e.graph, e.graph.add("expanded", Expand{}, {e.size("channels", 1), four})) == "64x64x64x64");
  CHECK(inferred(e.graph, e.graph.add("filled", ConstantOfShape{DType::float32, 0}, {e.shape})) == "Nx64x1x1");
  CHECK(inferred(e.graph, e.graph.add("wide", Expand{}, {weights(e.graph, "c", {1}), e.shape})) == "Nx64x1x1");
}

TEST_CASE("shape arithmetic: pads calculated by the graph") {
  Exported e;
  const ValueId zeros = e.graph.add("zeros", ConstantOfShape{DType::int64, 0}, {ints(e.graph, "six", {6})});
  const ValueId pads = e.graph.add("pads", Concat{0}, {zeros, ints(e.graph, "end", {1, 2})});
  CHECK(inferred(e.graph, e.graph.add("padded", Pad{}, {e.x, pads})) == "Nx64x2x3");
}

TEST_CASE("shape arithmetic: what comes at run time leaves sizes open, not wrong") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {2, 6}), wanted = graph.add_input("shape", DType::int64, {3});
  const ValueId any = graph.add_input("any", DType::int64, {sym("K")});
  const ValueId y = graph.add("y", Reshape{}, {x, wanted});
  CHECK(inferred(graph, y) == "?x?x?");
  CHECK(inferred(graph, graph.add("relu", Unary{{ActivationKind::relu}}, {y})) == "?x?x?");
  const ValueId open = graph.add("open", Reshape{}, {x, any});
  CHECK(inferred(graph, open) == "unknown rank");
  CHECK(inferred(graph, graph.add("further", Unary{{ActivationKind::relu}}, {open})) == "unknown rank");
  CHECK(inferred(graph, graph.add("size", ShapeOf{}, {open})) == "?");
  CHECK(inferred(graph, graph.add("slice", Slice{}, {x, any, any})) == "?x?");
  CHECK(inferred(graph, graph.add("pool", Pool{.kernel = {2, 2}}, {open})) == "unknown rank");
}

TEST_CASE("input shapes: given ones replace symbols everywhere") {
  SmallNet net;
  const ValueId other = net.graph.add_input("y", DType::float32, {sym("N"), 7});
  CHECK(inferred(net.graph, net.relu, {{net.input, {5, 3, 8, 8}}}) == "5x4x8x8");
  CHECK(inferred(net.graph, other, {{net.input, {5, 3, 8, 8}}}) == "5x7");
  CHECK(inferred(net.graph, net.relu) == "Nx4x8x8");
}

TEST_CASE("input shapes: what contradicts the declaration is refused") {
  SmallNet net;
  const ValueId other = net.graph.add_input("y", DType::float32, {sym("N"), 7});
  const auto error = [&](std::map<ValueId, Dims> shapes) { return error_of([&] { infer(net.graph, shapes); }); };
  CHECK(error({{net.input, {1, 3, 9, 8}}}) == "input 'x': shape 1x3x9x8 given; expected Nx3x8x8");
  CHECK(error({{net.input, {3, 8, 8}}}) == "input 'x': shape 3x8x8 given; expected Nx3x8x8");
  CHECK(error({{net.input, {-1, 3, 8, 8}}}) == "input 'x': shape -1x3x8x8 given; expected sizes from 0");
  CHECK(error({{net.input, {2, 3, 8, 8}}, {other, {3, 7}}}) == "input 'y': shape 3x7 given; expected Nx7 with N = 2 as in another place");
  CHECK(has(error({{net.conv, {2, 4, 8, 8}}}), "expected an input of the graph"));
}
