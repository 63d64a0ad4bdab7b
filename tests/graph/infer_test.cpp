// One row per operator and case: inputs, what comes out, or the error.
#include <doctest/doctest.h>

#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

namespace {

const Dim N = Dim::symbol("N");

struct Row {
  Op op;
  std::vector<Shape> inputs;
  const char* expected;  // the shape, or the error after "node 'n' "
};

/// The shape inferred for `op` over float inputs, or the error.
std::string outcome(const Row& row) {
  Graph graph;
  std::vector<ValueId> inputs;
  for (const Shape& shape : row.inputs) inputs.push_back(graph.add_input("x", DType::float32, shape));
  const ValueId y = graph.add("n", row.op, inputs);
  std::string shape;
  const std::string error = error_of([&] { shape = inferred(graph, y); });
  const std::string prefix = "node 'n' ";
  return shape.empty() ? (error.starts_with(prefix) ? error.substr(prefix.size()) : error) : shape;
}

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    CAPTURE(display_name(row.op));
    CHECK(outcome(row) == row.expected);
  }
}

/// The shape of `op` over x [shape] and lists of integers, or the error.
std::string with_lists(Op op, Shape shape, const std::vector<std::vector<std::int64_t>>& lists) {
  Graph graph;
  std::vector<ValueId> inputs{graph.add_input("x", DType::float32, std::move(shape))};
  for (const auto& list : lists) inputs.push_back(ints(graph, "list", list));
  const ValueId y = graph.add("n", std::move(op), inputs);
  std::string result;
  const std::string error = error_of([&] { result = inferred(graph, y); });
  return result.empty() ? error : result;
}

}  // namespace

TEST_CASE("infer: elementwise operators broadcast") {
  check({
      {Unary{{ActivationKind::relu}}, {{N, 3}}, "Nx3"},
      {Binary{}, {{N, 3, 4}, {N, 3, 4}}, "Nx3x4"},
      {Binary{}, {{N, 3, 4}, {4}}, "Nx3x4"},
      {Binary{}, {{3, 1}, {N, 1, 5}}, "Nx3x5"},
      {Binary{}, {{}, {2, 2}}, "2x2"},
      {Binary{}, {{N}, {7}}, "7"},
      {Binary{}, {{N}, {Dim::symbol("M")}}, "?"},
      {Binary{}, {{2, 3}, {2, 4}}, "(Add): shapes 2x3 and 2x4; expected equal sizes, or ones"},
      {Softmax{}, {{N, 10}}, "Nx10"},
      {Softmax{.axis = 2}, {{N, 10}}, "(Softmax): axis 2; expected -2 to 1 (the input has 2 dimensions)"},
      {Identity{}, {{N, 10}}, "Nx10"},
      {Cast{DType::float16}, {{N, 10}}, "Nx10"},
  });
}

TEST_CASE("infer: matrix products") {
  check({
      {Gemm{}, {{N, 64}, {64, 10}, {10}}, "Nx10"},
      {Gemm{.transpose_b = true}, {{N, 64}, {10, 64}, {10}}, "Nx10"},
      {Gemm{.transpose_a = true}, {{64, N}, {64, 10}}, "Nx10"},
      {Gemm{}, {{N, 64}, {64, 10}, {N, 1}}, "Nx10"},
      {Gemm{}, {{N, 64}, {64, 10}, {}}, "Nx10"},
      {Gemm{}, {{N, 64}, {32, 10}}, "(Gemm): Nx64 by 32x10: inner sizes are 64 and 32; expected equal ones"},
      {Gemm{}, {{N, 64}, {64, 10}, {9}}, "(Gemm): C is 9; expected a shape that broadcasts to Nx10"},
      {Gemm{}, {{N, 64, 1}, {64, 10}}, "(Gemm): A is Nx64x1; expected 2 dimensions"},
      {MatMul{}, {{N, 8, 64}, {64, 10}}, "Nx8x10"},
      {MatMul{}, {{N, 1, 8, 64}, {5, 64, 10}}, "Nx5x8x10"},
      {MatMul{}, {{64}, {64, 10}}, "10"},
      {MatMul{}, {{8, 64}, {64}}, "8"},
      {MatMul{}, {{64}, {64}}, "scalar"},
      {MatMul{}, {{}, {64}}, "(MatMul): an operand is a scalar; expected operands with dimensions"},
      {MatMul{}, {{8, 64}, {63, 2}}, "(MatMul): 8x64 by 63x2: inner sizes are 64 and 63; expected equal ones"},
      {BatchNorm{}, {{N, 3, 8, 8}, {3}, {3}, {3}, {3}}, "Nx3x8x8"},
      {BatchNorm{}, {{N, 3, 8, 8}, {3}, {3}, {4}, {3}}, "(BatchNormalization): mean is 4; expected one number for each of 3 channels"},
  });
}

TEST_CASE("infer: reductions") {
  check({
      {Reduce{.axes = {2, 3}}, {{N, 64, 7, 7}}, "Nx64x1x1"},
      {Reduce{.axes = {-1, -2}, .keep_dims = false}, {{N, 64, 7, 7}}, "Nx64"},
      {Reduce{}, {{N, 64}}, "1x1"},
      {Reduce{.keep_dims = false}, {{N, 64}}, "scalar"},
      {Reduce{.axes = {1, -1}}, {{N, 64}}, "(ReduceMean): axis -1 twice; expected each axis once"},
      {Reduce{.axes = {5}}, {{N, 64}}, "(ReduceMean): axis 5; expected -2 to 1 (the input has 2 dimensions)"},
  });
}

TEST_CASE("infer: dimensions turned, joined and taken away") {
  check({
      {Flatten{}, {{N, 64, 2, 3}}, "Nx384"},
      {Flatten{.axis = 0}, {{4, 2, 3}}, "1x24"},
      {Flatten{.axis = -1}, {{4, 2, 3}}, "8x3"},
      {Flatten{.axis = 3}, {{4, 2, 3}}, "24x1"},
      {Flatten{}, {{N, 64, Dim::symbol("H"), 3}}, "Nx?"},
      {Flatten{.axis = 4}, {{4, 2, 3}}, "(Flatten): axis 4; expected -3 to 3"},
      {Transpose{{0, 2, 3, 1}}, {{N, 3, 8, 9}}, "Nx8x9x3"},
      {Transpose{}, {{N, 3, 8}}, "8x3xN"},
      {Transpose{{0, 0}}, {{N, 3}}, "(Transpose): axis 0 twice; expected each axis once"},
      {Transpose{{0}}, {{N, 3}}, "(Transpose): permutation of 1 axes; expected 2 (the input is Nx3)"},
      {Squeeze{{2, 3}}, {{N, 64, 1, 1}}, "Nx64"},
      {Squeeze{}, {{1, 64, 1}}, "64"},
      {Squeeze{}, {{N, 64, 1}}, "unknown rank"},
      {Squeeze{{1}}, {{N, 64}}, "(Squeeze): axis 1 of Nx64 has 64 elements; expected 1"},
      {Unsqueeze{{0, -1}}, {{N, 64}}, "1xNx64x1"},
      {Unsqueeze{{1, 1}}, {{N, 64}}, "(Unsqueeze): axis 1 twice; expected each axis once"},
      {Concat{1}, {{N, 3, 8}, {N, 5, 8}, {N, 1, 8}}, "Nx9x8"},
      {Concat{-1}, {{N, 3}, {2, 4}}, "2x7"},
      {Concat{0}, {{N, 3}, {2, 3}}, "?x3"},
      {Concat{1}, {{2, 3}, {1, 3}}, "(Concat): input 1 is 1x3 behind 2x3; expected equal sizes but for axis 1"},
      {Concat{1}, {{2, 3}, {2, 3, 1}}, "(Concat): input 1 is 2x3x1 behind 2x3; expected equal sizes but for axis 1"},
  });
}

TEST_CASE("infer: reshape, known sizes") {
  CHECK(with_lists(Reshape{}, {2, 64, 3}, {{2, -1}}) == "2x192");
  CHECK(with_lists(Reshape{}, {2, 64, 3}, {{0, 0, 3, 1}}) == "2x64x3x1");
  CHECK(with_lists(Reshape{}, {2, 64, 3}, {{384}}) == "384");
  CHECK(with_lists(Reshape{}, {1}, {{}}) == "scalar");
  CHECK(with_lists(Reshape{}, {2, 64}, {{-1, 100}}) ==
        "node 'n' (Reshape): 128 elements in rows of 100; expected a shape with as many elements as the input");
  CHECK(with_lists(Reshape{}, {2, 64}, {{2, 63}}) == "node 'n' (Reshape): 2x64 does not fill 2x63; expected equal numbers of elements");
  CHECK(has(with_lists(Reshape{}, {2, 64}, {{-1, -1}}), "-1 twice"));
  CHECK(has(with_lists(Reshape{}, {2, 64}, {{-2, 64}}), "expected -1 or more"));
  CHECK(has(with_lists(Reshape{}, {2, 64}, {{2, 64, 0}}), "0 as size 2"));
  CHECK(has(with_lists(Reshape{.allow_zero = true}, {2, 64}, {{0, -1}}), "-1 beside a size of 0"));
  CHECK(has(with_lists(Reshape{}, {2, 64}, {{1, 1, 1, 1, 1, 1, 1, 1, 128}}), "9 dimensions; expected at most 8"));
}

TEST_CASE("infer: reshape, symbols cancel") {
  CHECK(with_lists(Reshape{}, {N, 64, 1, 1}, {{-1, 64}}) == "Nx64");
  CHECK(with_lists(Reshape{}, {N, 64, 1, 1}, {{0, -1}}) == "Nx64");
  CHECK(with_lists(Reshape{}, {N, 64, sym("H"), 2}, {{0, 0, -1}}) == "Nx64x?");
  CHECK(with_lists(Reshape{}, {Dim(), 64, 2}, {{0, -1}}) == "?x128");  // the unknown size is copied, not calculated with
  CHECK(with_lists(Reshape{}, {N, 64}, {{-1, 32}}) == "?x32");
}

TEST_CASE("infer: slices") {
  CHECK(with_lists(Slice{}, {10, 20}, {{1, 0}, {5, 1000}, {0, 1}, {2, 3}}) == "2x7");
  CHECK(with_lists(Slice{}, {10, 20}, {{-3}, {INT64_MAX}}) == "3x20");
  CHECK(with_lists(Slice{}, {10, 20}, {{-1}, {INT64_MIN}, {1}, {-1}}) == "10x20");
  CHECK(with_lists(Slice{}, {10, 20}, {{8}, {2}, {0}, {-2}}) == "3x20");
  CHECK(with_lists(Slice{}, {10, 20}, {{5}, {5}}) == "0x20");
  CHECK(with_lists(Slice{}, {N, 20}, {{4}, {8}, {1}}) == "Nx4");
  CHECK(with_lists(Slice{}, {N, 20}, {{0}, {INT64_MAX}, {0}}) == "Nx20");
  CHECK(with_lists(Slice{}, {N, 20}, {{1}, {INT64_MAX}, {0}}) == "?x20");
  CHECK(has(with_lists(Slice{}, {10}, {{0}, {5}, {0}, {0}}), "step 0"));
  CHECK(has(with_lists(Slice{}, {10}, {{0, 0}, {5, 5}, {0, 0}}), "slices 2 axes of 1"));
  CHECK(has(with_lists(Slice{}, {10, 2}, {{0, 0}, {5, 5}, {0, -2}}), "axis 0 twice"));
  CHECK(has(with_lists(Slice{}, {10, 2}, {{0, 0}, {5}}), "2 starts, 1 ends"));
}

TEST_CASE("infer: where a slice begins, and with which step") {
  const SliceGeometry g = slice_geometry("node", {10, 20}, {-1}, {-100}, {-1}, {-3});
  CHECK(g.first == Ints{0, 19});
  CHECK(g.step == Ints{1, -3});
  CHECK(g.count == Ints{10, 7});  // 19, 16, ... 1
}

TEST_CASE("infer: pads, expand, gather") {
  CHECK(with_lists(Pad{}, {N, 3, 8, 8}, {{0, 0, 1, 2, 0, 0, 3, -4}}) == "Nx3x12x6");
  CHECK(with_lists(Pad{.mode = PadMode::reflect}, {8}, {{7, 7}}) == "22");
  CHECK(has(with_lists(Pad{.mode = PadMode::reflect}, {8}, {{8, 0}}), "reflections inside the input"));
  CHECK(has(with_lists(Pad{}, {8}, {{-5, -4}}), "crops that leave something"));
  CHECK(has(with_lists(Pad{}, {8}, {{1}}), "1 pads for 1 dimensions; expected two for each"));
  CHECK(with_lists(Expand{}, {3, 1}, {{2, 1, 6}}) == "2x3x6");
  CHECK(with_lists(Expand{}, {N, 1}, {{1, 4}}) == "Nx4");
  CHECK(has(with_lists(Expand{}, {3}, {{2}}), "shapes 3 and 2"));
  CHECK(with_lists(Gather{.axis = 1}, {N, 10, 4}, {{0, 3, -1}}) == "Nx3x4");
  CHECK(has(with_lists(Gather{.axis = 1}, {N, 10, 4}, {{10}}), "index 10; expected -10 to 9"));
}

TEST_CASE("infer: element types") {
  Graph graph;
  const ValueId half = graph.add_input("h", DType::float16, {1, 4, 8, 8}), single = graph.add_input("s", DType::float32, {1, 4, 8, 8});
  const ValueId whole = graph.add_input("i", DType::int64, {4});
  const ValueId relu = graph.add("relu", Unary{{ActivationKind::relu}}, {half}), cast = graph.add("cast", Cast{DType::float32}, {half});
  const ValueId shape = graph.add("shape", ShapeOf{}, {half}), filled = graph.add("fill", ConstantOfShape{DType::int8, 1}, {shape});
  const std::vector<Fact> facts = infer(graph);
  CHECK(fact_of(facts, relu).dtype == DType::float16);
  CHECK(fact_of(facts, cast).dtype == DType::float32);
  CHECK(fact_of(facts, shape).dtype == DType::int64);
  CHECK(fact_of(facts, filled).dtype == DType::int8);
  CHECK(inferred(graph, filled) == "1x4x8x8");

  const auto error = [&](Op op, std::vector<ValueId> inputs) {
    Graph copy = graph;
    copy.add("bad", std::move(op), std::move(inputs));
    return error_of([&] { infer(copy); });
  };
  CHECK(error(Binary{}, {half, single}) == "node 'bad' (Add): float16 and float32; expected two operands of one numeric type");
  CHECK(error(Conv{}, {half, weights(graph, "w", {4, 4, 1, 1})}) == "node 'bad' (Conv): input 1 is float32; expected float16 as input 0");
  CHECK(error(Unary{{ActivationKind::sigmoid}}, {whole}) ==
        "node 'bad' (Sigmoid): input 0 is int64; expected floats or quantized integers");
  CHECK(error(Concat{0}, {half, single}) == "node 'bad' (Concat): input 1 is float32; expected float16 as input 0");
  CHECK(error(Gather{}, {half, single}) == "node 'bad' (Gather): indices are float32; expected int64 or int32");
}

TEST_CASE("infer: integers with a scale stand for floats, and outputs keep the type they were given") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::uint8, {1, 3, 8, 8}), w = weights(graph, "w", {4, 3, 1, 1}, DType::int8);
  graph.value(x).quantization = Quantization{{0.1f}, {128}, 0};
  graph.value(w).quantization = Quantization{{0.1f}, {0}, 0};
  const ValueId y = graph.add("c", Conv{}, {x, w}), z = graph.add("relu", Unary{{ActivationKind::relu}}, {y});
  graph.value(y).quantization = Quantization{{0.2f}, {3}, 0};
  graph.value(y).dtype = DType::int8;
  graph.add_output(z);
  verify(graph);
  CHECK(graph.value(y).dtype == DType::int8);
  CHECK(graph.value(z).dtype == DType::float32);
}

TEST_CASE("infer: sizes beyond all memory are an error") {
  CHECK(has(with_lists(Expand{}, {1}, {{1 << 30, 1 << 30}}), "fewer than 2^40 elements"));
  CHECK(has(with_lists(Pad{}, {8}, {{INT64_MAX, 1}}), "node 'n' (Pad): sizes do not fit 64 bits"));
  CHECK(has(with_lists(Reshape{}, {8}, {{INT64_MAX, INT64_MAX}}), "node 'n' (Reshape): sizes do not fit 64 bits"));
}
