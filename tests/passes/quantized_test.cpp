// store-activations and integer-layers: graphs of Quantize and Dequantize become graphs of integers that give the same numbers.
#include "tests/passes/check.h"
#include "tests/support/integer_reference.h"

namespace konv::test {
namespace {

/// Conv -> Relu -> MaxPool -> Gemm as exporters write them, every edge quantized.
struct Network {
  Graph graph;
  Rng rng{3};
  int made = 0;

  ValueId number(DType type, std::int32_t value) { return graph.add_constant(fmt_name("int"), pack_integers(type, {}, {&value, 1})); }
  ValueId real(float value) { return graph.add_constant(fmt_name("real"), make_f32({}, {&value, 1})); }
  std::string fmt_name(const char* what) { return what + std::to_string(made++); }

  ValueId rounded(ValueId x, float scale, std::int32_t zero, DType type) {
    const ValueId s = real(scale), z = number(type, zero);
    const ValueId q = graph.add(fmt_name("quantize"), Quantize{1, 0, type}, {x, s, z});
    return graph.add(fmt_name("dequantize"), Dequantize{}, {q, s, z});
  }

  ValueId weight(const Dims& dims, std::int32_t low, std::int32_t high, std::int32_t zero, DType type) {
    std::vector<std::int32_t> integers(static_cast<std::size_t>(element_count(dims)));
    for (std::int32_t& w : integers) w = static_cast<std::int32_t>(rng.integer(low, high));
    integers.front() = low, integers.back() = high;
    std::vector<float> scales(static_cast<std::size_t>(dims.front()));
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = 0.01f * static_cast<float>(i + 1);
    const std::vector<std::int32_t> zeros(scales.size(), zero);
    const Dims per_channel = {dims.front()};
    return graph.add(fmt_name("weight"), Dequantize{0},
                     {graph.add_constant(fmt_name("stored"), pack_integers(type, dims, integers)),
                      graph.add_constant(fmt_name("scales"), make_f32(per_channel, scales)),
                      graph.add_constant(fmt_name("zeros"), pack_integers(type, per_channel, zeros))});
  }
};

Network network(DType activations, std::int32_t zero, std::int32_t low, std::int32_t high, std::int32_t weight_zero, DType weights) {
  Network n;
  ValueId x = n.graph.add_input("x", DType::float32, {2, 3, 8, 8});
  x = n.rounded(x, 0.02f, zero, activations);
  x = n.graph.add("conv", Conv{.window = {.pads = {1, 1, 1, 1}}}, {x, n.weight({5, 3, 3, 3}, low, high, weight_zero, weights)});
  x = n.graph.add("relu", Unary{{ActivationKind::relu, 0, 0}}, {x});
  x = n.rounded(x, 0.04f, zero, activations);
  x = n.graph.add("pool", Pool{.kernel = {2, 2}, .window = {.strides = {2, 2}}}, {x});
  x = n.graph.add("flat", Flatten{}, {x});
  n.graph.add_output(n.graph.add("gemm", Gemm{.transpose_b = true}, {x, n.weight({4, 80}, low, high, weight_zero, weights)}));
  verify(n.graph);
  return n;
}

std::map<std::string, Tensor> some_inputs(const Graph& graph) {
  Rng rng(8);
  return random_inputs(rng, graph);
}

/// Both by the reference that knows stored integers; `steps` of the last scale apart, where scales are multiplied in another order.
void check_integers(const Graph& before, Graph after) {
  const auto inputs = some_inputs(before);
  const Tensor expected = run_reference(before, inputs)[0], found = run_integer_reference(after, inputs)[0];
  REQUIRE(found.dims == expected.dims);
  // One step of the activations in front of the last layer, times a weight of 8 bits.
  for (std::size_t i = 0; i < expected.f32().size(); ++i)
    CHECK(found.f32()[i] == doctest::Approx(expected.f32()[i]).epsilon(0.02).scale(1));
}

bool all_in_integers(const Graph& graph) {
  for (const NodeId id : graph.nodes()) {
    if (graph.as<Quantize>(id) || graph.as<Dequantize>(id)) return false;
    if ((graph.as<Conv>(id) || graph.as<Gemm>(id) || graph.as<Pool>(id)) && !graph.value(graph.node(id).input(0)).quantization)
      return false;
  }
  return true;
}

}  // namespace

TEST_CASE("integer-layers: quantized networks compute in integers, whatever the types") {
  struct Case {
    DType activations;
    std::int32_t zero;
    DType weights;
    std::int32_t low, high, weight_zero;
    DType stored_activations, stored_weights;
  };
  for (const Case& c : {Case{DType::uint8, 128, DType::int8, -120, 120, 0, DType::uint8, DType::int8},
                        Case{DType::int8, 0, DType::int8, -127, 127, 0, DType::uint8, DType::int8},
                        Case{DType::int8, -3, DType::uint8, 1, 255, 128, DType::uint8, DType::int8},
                        Case{DType::uint8, 7, DType::int8, -8, 7, 0, DType::uint8, DType::int4},
                        Case{DType::int4, 1, DType::int4, -7, 6, 1, DType::uint4, DType::int4},
                        Case{DType::uint2, 1, DType::int8, -2, 1, 0, DType::uint2, DType::int2},
                        Case{DType::uint4, 4, DType::int8, -1, 2, 0, DType::uint4, DType::int2}}) {
    CAPTURE(static_cast<int>(c.activations));
    CAPTURE(c.zero);
    Graph graph = network(c.activations, c.zero, c.low, c.high, c.weight_zero, c.weights).graph;
    const Graph before = graph;
    run_passes(graph, "default");
    CHECK(all_in_integers(graph));
    const Node& conv = find_node(graph, "conv");
    CHECK(graph.value(conv.input(0)).dtype == c.stored_activations);
    CHECK(graph.value(conv.output()).dtype == c.stored_activations);
    CHECK(graph.value(conv.input(1)).dtype == c.stored_weights);
    check_integers(before, graph);
  }
}

TEST_CASE("integer-layers: weights without a symmetric range compute with real numbers, and the report says so") {
  Graph graph = network(DType::uint8, 100, 0, 255, 90, DType::uint8).graph;
  const Graph before = graph;
  std::vector<std::string> refused;
  for (const passes::Report& report : run_passes(graph, "default"))
    refused.insert(refused.end(), report.refused.begin(), report.refused.end());
  REQUIRE(refused.size() == 2);
  CHECK(refused[0] == "node 'conv' (Conv): its weight is no constant of at most 8 bits that lie around a zero point of 0");
  CHECK(!graph.value(find_node(graph, "conv").input(0)).quantization);
  check_integers(before, graph);
}

TEST_CASE("store-activations: a clip between Quantize and Dequantize makes fewer bits") {
  for (const auto& [low, high, type] : {std::tuple{0, 15, DType::uint4}, std::tuple{0, 3, DType::uint2}, std::tuple{-7, 7, DType::uint4},
                                        std::tuple{-8, 100, DType::uint8}}) {
    CAPTURE(low);
    Network n;
    const ValueId x = n.graph.add_input("x", DType::float32, {2, 3, 4, 4});
    const ValueId s = n.real(0.1f), z = n.number(DType::int8, 0);
    ValueId q = n.graph.add("q", Quantize{1, 0, DType::int8}, {x, s, z});
    q = n.graph.add("low", Binary{BinaryKind::max, {}}, {q, n.number(DType::int8, low)});
    q = n.graph.add("high", Binary{BinaryKind::min, {}}, {q, n.number(DType::int8, high)});
    n.graph.add_output(n.graph.add("y", Dequantize{}, {q, s, z}));
    verify(n.graph);
    Graph graph = n.graph;
    run_passes(graph, "default");
    CHECK(count<Quantize>(graph) == 0);
    CHECK(graph.value(find_node(graph, "q").output()).dtype == type);
    const auto inputs = some_inputs(graph);
    CHECK_CLOSE(run_integer_reference(graph, inputs)[0], run_reference(n.graph, inputs)[0], tolerance(DType::float32, 10));
  }
}

TEST_CASE("store-activations: what has no constant scale, or is read as integers, stays") {
  Network n;
  const ValueId x = n.graph.add_input("x", DType::float32, {2, 3});
  const ValueId scale = n.graph.add_input("scale", DType::float32, {});
  const ValueId open = n.graph.add("open", Quantize{}, {x, scale});
  n.graph.add_output(n.graph.add("back", Dequantize{}, {open, scale}));
  n.graph.add_output(n.graph.add("outside", Quantize{}, {x, n.real(0.5f)}));
  verify(n.graph);
  check_does_not_fire(n.graph, "store-activations");
  Graph graph = n.graph;
  const std::vector<passes::Report> reports = run_passes(graph, "store-activations");
  REQUIRE(reports.size() == 1);
  REQUIRE(reports[0].refused.size() == 2);
  CHECK(reports[0].refused[0] == "node 'open' (QuantizeLinear): has a scale that is no float32 constant");
  CHECK(reports[0].refused[1] == "node 'outside' (QuantizeLinear): gives integers to the outside");
}

}  // namespace konv::test
