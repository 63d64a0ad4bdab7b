// Graph to ONNX and back: the same numbers.
#include <doctest/doctest.h>

#include "converter/import.h"
#include "tests/converter/onnx_model.h"
#include "tests/support/compare.h"
#include "tests/support/integer_reference.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {
namespace {

Graph exported_and_back(const Graph& graph) {
  const TemporaryFolder folder;
  return converter::import_onnx(folder.write("model.onnx", converter::export_onnx(graph)).string());
}

void check_round_trip(Graph graph, std::int64_t batch = 1) {
  verify(graph);
  const Graph back = exported_and_back(graph);
  const auto names = [](const Graph& g, const std::vector<ValueId>& ids) {
    std::vector<std::string> list;
    for (const ValueId id : ids) list.push_back(g.value(id).name);
    return list;
  };
  CHECK(names(back, back.inputs()) == names(graph, graph.inputs()));
  CHECK(names(back, back.outputs()) == names(graph, graph.outputs()));
  Rng rng(5);
  const auto inputs = random_inputs(rng, graph, batch);
  const std::vector<Tensor> expected = run_reference(graph, inputs), found = run_reference(back, inputs);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    REQUIRE(found[i].dims == expected[i].dims);
    CHECK(found[i].dtype == expected[i].dtype);
    CHECK_CLOSE(found[i], expected[i], tolerance(DType::float32, 100, 2));
  }
}

Tensor i64(const Ints& values) { return make_i64({static_cast<std::int64_t>(values.size())}, values); }

}  // namespace

TEST_CASE("export: networks come back as they were") {
  Rng rng(1);
  check_round_trip(conv_bn_relu(rng));
  check_round_trip(residual_block(rng));
  check_round_trip(repvgg_block(rng));
}

TEST_CASE("export: fused activations and residuals are nodes of their own again") {
  Rng rng(2);
  for (int kind = 0; kind < kActivationKinds; ++kind) {
    CAPTURE(kind);
    const Activation activation{static_cast<ActivationKind>(kind), 0.25f, 0.75f};
    if (activation.kind == ActivationKind::log || activation.kind == ActivationKind::sqrt) continue;  // of every number there is
    Graph graph;
    const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 4, 5, 5});
    const ValueId y = add_conv(graph, rng, "first", x, 4, 4, {.pads = {1, 1, 1, 1}});
    Conv conv = std::get<Conv>(graph.producer_as<Conv>(y)->op);
    conv.activation = activation;
    const ValueId z = graph.add("second", conv, {y, graph.producer_as<Conv>(y)->input(Conv::kWeight), ValueId{}, x});
    graph.add_output(graph.add("sum", Binary{BinaryKind::sub, activation}, {z, y}));
    const ValueId flat = graph.add("flat", Flatten{}, {z});
    Gemm gemm{.transpose_b = true, .alpha = 0.5f, .activation = activation};
    graph.add_output(graph.add("gemm", gemm, {flat, graph.add_constant("w", random_tensor(rng, {3, 100}))}));
    check_round_trip(graph, 2);
  }
}

TEST_CASE("export: operators that ONNX spells otherwise") {
  Rng rng(3);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {2, 4, 6, 6});
  const auto ints = [&](const char* name, const Ints& values) { return graph.add_constant(name, i64(values)); };
  graph.add_output(graph.add("old softmax", Softmax{1, true}, {x}));
  graph.add_output(graph.add("log", Softmax{2, false, true}, {x}));
  graph.add_output(graph.add("top", TopK{-1, false}, {x, ints("k", {3})}));
  graph.add_output(graph.add("where", TopK{1, true, true, TopKPart::indices}, {x, ints("k1", {1})}));
  graph.add_output(graph.add("at", Pool{.kind = PoolKind::max_index, .kernel = {2, 2}}, {x}));
  graph.add_output(graph.add("lp", Pool{.kind = PoolKind::lp, .kernel = {2, 2}, .order = 3}, {x}));
  graph.add_output(graph.add("dilated", Pool{.kind = PoolKind::average, .kernel = {2, 2}, .window = {.dilations = {2, 2}}}, {x}));
  graph.add_output(graph.add("reduced", Reduce{ReduceKind::log_sum_exp, {1, -1}, false}, {x}));
  graph.add_output(graph.add("padded", Pad{PadMode::constant, 1.5f}, {x, ints("pads", {0, 1, 0, 2, 0, 0, 1, 0})}));
  graph.add_output(graph.add("wrapped", Pad{PadMode::wrap, 0}, {x, ints("pads2", {3, 2}), ValueId{}, ints("axis", {-1})}));
  graph.add_output(graph.add("unchanged", Unsqueeze{}, {x}));
  graph.add_output(graph.add("filled", ConstantOfShape{DType::int32, -3}, {ints("shape", {2, 2})}));
  graph.add_output(graph.add("sliced", Slice{}, {x, ints("from", {1}), ints("to", {100}), ints("over", {2}), ints("by", {2})}));
  graph.add_output(graph.add("space", DepthToSpace{2, DepthOrder::crd}, {x}));
  const ValueId scales = graph.add_constant("scales", make_f32({4}, std::vector<float>{1, 1, 2, 0.5f}));
  graph.add_output(graph.add("resized", Resize{.mode = ResizeMode::linear}, {x, ValueId{}, scales}));
  graph.add_output(graph.add("normed", LayerNorm{2, 1e-3f}, {x, graph.add_constant("g", random_tensor(rng, {6, 6}))}));
  const ValueId scale = graph.add_constant("scale", make_f32({}, std::vector<float>{0.0625f}));
  const ValueId q = graph.add("q", Quantize{1, 0, DType::int8}, {x, scale});
  graph.add_output(graph.add("back", Dequantize{}, {q, scale}));
  check_round_trip(graph);
}

TEST_CASE("export: pruned weights are dense, quantized values are rounded to their integers") {
  Rng rng(4);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1, 2, 3, 3});
  const ValueId weight = graph.add_constant("weight", random_tensor(rng, {3, 4}));
  graph.value(weight).kept_rows = KeptRows{{0, 3, 4, 7}, 1, {3, 2, 2, 2}};
  graph.add_output(graph.add("conv", Conv{}, {x, weight}));
  check_round_trip(graph);

  Graph quantized;
  const ValueId in = quantized.add_input("x", DType::float32, {1, 2, 3, 3});
  MutableTensor stored(DType::int8, {2, 2, 1, 1});
  for (std::int8_t& w : stored.as<std::int8_t>()) w = static_cast<std::int8_t>(rng.integer(-100, 100));
  const ValueId w = quantized.add_constant("w", stored);
  quantized.value(w).quantization = Quantization{{0.5f, 0.25f}, {0, 3}, 0};
  quantized.add_output(quantized.add("conv", Conv{}, {in, w}));
  verify(quantized);
  const Graph back = exported_and_back(quantized);
  Rng other(5);
  const auto inputs = random_inputs(other, quantized);
  Graph expected = quantized;  // the same with the weights written out
  MutableTensor real(DType::float32, {2, 2, 1, 1});
  for (std::size_t i = 0; i < 4; ++i)
    real.f32()[i] = (i < 2 ? 0.5f : 0.25f) * static_cast<float>(stored.as<std::int8_t>()[i] - (i < 2 ? 0 : 3));
  expected.value(w).quantization.reset();
  expected.value(w).constant = real;
  expected.value(w).dtype = DType::float32;
  verify(expected);
  CHECK_CLOSE(run_reference(back, inputs)[0], run_reference(expected, inputs)[0], tolerance(DType::float32, 10, 100));
}

TEST_CASE("export: values of 4 and 2 bits keep their numbers, biases in units of the sums are int32") {
  for (const auto& [activations, weights] : {std::pair{DType::uint4, DType::int4}, std::pair{DType::uint2, DType::int2}}) {
    CAPTURE(static_cast<int>(activations));
    const auto most = static_cast<std::int32_t>(1 << (bits(weights) - 1));
    Graph graph;
    const ValueId x = graph.add_input("x", DType::float32, {1, 2, 3, 3});
    const ValueId q = graph.add("q", Identity{}, {x});
    graph.value(q).dtype = activations;
    graph.value(q).quantization = Quantization{{0.25f}, {1}, 0};
    const std::vector<std::int32_t> stored = {-most, most - 1, 0, -1};
    const ValueId w = graph.add_constant("w", pack_integers(weights, {2, 2, 1, 1}, stored));
    graph.value(w).quantization = Quantization{{0.5f, 0.125f}, {0, -1}, 0};  // the second channel is mirrored
    const ValueId bias = graph.add_constant("bias", make_f32({2}, std::vector<float>{3 * 0.125f, -5 * 0.03125f}));
    graph.add_output(graph.add("conv", Conv{}, {q, w, bias}));
    verify(graph);
    const Graph back = exported_and_back(graph);
    Rng rng(6);
    const auto inputs = random_inputs(rng, graph);
    CHECK_CLOSE(run_reference(back, inputs)[0], run_integer_reference(graph, inputs)[0], tolerance(DType::float32, 10, 10));
    CHECK(back.find_value("bias.of.conv.quantized"));
    CHECK(!back.find_value("bias"));
  }
}

TEST_CASE("export: what ONNX cannot say is named") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {4});
  graph.add_output(graph.add("top", TopK{0, true, true}, {x, graph.add_constant("k", i64({2}))}));
  verify(graph);
  CHECK(message_of([&] { converter::export_onnx(graph); }) ==
        "node 'top' (TopK): takes the last of equal elements; expected the index of one largest element (ONNX ArgMax)");
}

}  // namespace konv::test
