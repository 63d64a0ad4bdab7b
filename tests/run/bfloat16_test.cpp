// Layers in bfloat16: taken where that is allowed or loses nothing, and as close as rounded factors can be.
#include <doctest/doctest.h>

#include <algorithm>
#include <span>

#include <konv/error.hpp>

#include "engine/graph/weights.h"
#include "engine/run/context.h"
#include "engine/run/network.h"
#include "kernels/base/bfloat16.h"
#include "kernels/base/isa.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {
namespace {

Machine host() { return Machine::typical(choose_isa().isa); }

/// The widest of a family that this machine runs.
template <class Kernel>
std::string widest(std::span<const Kernel> kernels, const std::string& family) {
  for (const Kernel& kernel : kernels) {
    if (std::string(kernel.name).starts_with(family) && kernel.isa <= choose_isa().isa) return kernel.name;
  }
  FAIL("no kernel ", family);
  return {};
}

/// Weights as a model stores them that was made with --weights bfloat16.
Tensor narrow(const Tensor& reals) {
  MutableTensor tensor(DType::bfloat16, reals.dims);
  std::transform(reals.f32().begin(), reals.f32().end(), tensor.as<std::uint16_t>().begin(), bfloat16_from_float);
  return tensor;
}

/// Three convolutions ("conv0" ...), then a matrix product whose right-hand side is [1000, 256] or [256, 1000].
Graph network(bool stored_narrow, bool transposed = true) {
  Rng rng(3);
  Graph graph;
  ValueId value = graph.add_input("x", DType::float32, {Dim::symbol("N"), 40, 9, 7});
  value = add_conv(graph, rng, "conv0", value, 40, 72, {.pads = {1, 1, 1, 1}, .activation = {ActivationKind::relu, 0, 0}});
  value = add_conv(graph, rng, "conv1", value, 72, 96, {.strides = {2, 2}, .pads = {1, 1, 1, 1}});
  value = add_conv(graph, rng, "conv2", value, 96, 256, {.kernel = {1, 1}, .activation = {ActivationKind::relu, 0, 0}});
  value = graph.add("mean", Reduce{.kind = ReduceKind::mean, .axes = {2, 3}, .keep_dims = false}, {value});
  const ValueId weight = graph.add_constant("fc.weight", random_tensor(rng, transposed ? Dims{1000, 256} : Dims{256, 1000}));
  const ValueId bias = graph.add_constant("fc.bias", random_tensor(rng, {1000}));
  graph.add_output(graph.add("fc", Gemm{.transpose_b = transposed}, {value, weight, bias}));
  if (stored_narrow) {
    for (const char* name : {"conv0.weight", "conv1.weight", "conv2.weight", "fc.weight"}) {
      Value& stored = graph.value(*graph.find_value(name));
      stored.constant = narrow(*stored.constant);
      stored.dtype = DType::bfloat16;
      stored.quantization = Quantization{{1}, {0}, 0};
    }
  }
  verify(graph);
  return graph;
}

/// All layers with weights of this type.
plan::Options all_layers(const std::string& type, bool bfloat16) {
  const std::string conv = widest(conv_kernels(), "conv_igemm_" + type), gemm = widest(gemm_kernels(), "gemm_dots_" + type);
  return {.bfloat16 = bfloat16, .asked_for = {{"conv0", conv}, {"conv1", conv}, {"conv2", conv}, {"fc", gemm}}};
}

std::string kernel_of_step(const plan::Plan& plan, const std::string& step) {
  for (const plan::Step& s : plan.steps) {
    if (s.name == step) return s.kernel;
  }
  return "none";
}

struct Result {
  Tensor output;
  plan::Plan plan;
};

Result run_once(const Graph& graph, const plan::Options& options, int threads = 1, std::int64_t batch = 2) {
  Rng rng(4);
  const Tensor input = random_tensor(rng, {batch, 40, 9, 7});
  run::Network network(graph);
  run::Context context(network.executable({input.dims}, host(), options), threads);
  context.set_input(0, input.bytes.get());
  ThreadPool pool(threads);
  context.run(threads > 1 ? &pool : nullptr);
  MutableTensor output(DType::float32, {batch, 1000});
  context.get_output(0, output.bytes.get());
  return {output, context.executable().plan()};
}

bool same_bits(const Tensor& a, const Tensor& b) { return std::equal(a.f32().begin(), a.f32().end(), b.f32().begin(), b.f32().end()); }

TEST_CASE("bfloat16 changes a network by little, and by the same whatever the number of threads") {
  for (const bool transposed : {true, false}) {
    const Graph graph = network(false, transposed);
    const Result exact = run_once(graph, {});
    for (const plan::Step& step : exact.plan.steps) CHECK((step.weight_type == DType::float32 && step.input_type == DType::float32));
    const plan::Options options = all_layers("wbf16", true);
    const Result rounded = run_once(graph, options);
    CHECK(kernel_of_step(rounded.plan, "conv1").starts_with("conv_igemm_wbf16"));
    CHECK(kernel_of_step(rounded.plan, "fc").starts_with("gemm_dots_wbf16"));
    // Four layers, each with weights that are off by 2^-8 at most and 2^-9.8 in the mean.
    CHECK_CLOSE(rounded.output, exact.output, 4 * 0x1p-9);
    CHECK(difference(rounded.output, exact.output).value > 1e-5);
    for (int threads : {2, 3}) CHECK(same_bits(run_once(graph, options, threads).output, rounded.output));
    // Without being asked for bfloat16, float32 it stays.
    CHECK_THROWS_WITH_AS(run_once(graph, all_layers("wbf16", false)), doctest::Contains("--precision"), Error);
    CHECK_THROWS_WITH_AS(run_once(graph, {.max_error = 1e-4, .bfloat16 = true, .asked_for = options.asked_for}),
                         doctest::Contains("--max-error"), Error);
  }
}

TEST_CASE("weights that a model stores as bfloat16 are taken so without asking, to the bits of float32") {
  for (const bool transposed : {true, false}) {
    const Graph graph = network(true, transposed);
    plan::Options floats = all_layers("f32", false);
    if (!transposed) floats.asked_for.erase("fc");  // no dot products of what lies by columns
    const Result wide = run_once(graph, floats), stored = run_once(graph, all_layers("wbf16", false));
    if (transposed) CHECK(same_bits(stored.output, wide.output));
    CHECK_CLOSE(stored.output, wide.output, tolerance(DType::float32, 256, 8));
    CHECK(2 * stored.plan.packed_bytes <= wide.plan.packed_bytes + (transposed ? 0 : 4 * 1000 * 256));
    std::int64_t packed = 0;
    for (const plan::Step& step : stored.plan.steps) packed += step.nodes.empty() || step.op != "Gemm" ? 0 : step.packed;
    CHECK(packed == (transposed ? 0 : 2 * 1000 * 256));  // [outputs][inputs] is read where it lies
  }
}

TEST_CASE("a processor with dot products of bfloat16 takes them where they are allowed") {
  const Graph graph = network(false);
  const std::map<ValueId, Dims> shapes = {{graph.inputs()[0], {1, 40, 9, 7}}};
  const plan::Plan tiles = plan::make(graph, shapes, Machine::typical(Isa::avx512_amx), {.bfloat16 = true});
  CHECK(kernel_of_step(tiles, "conv1") == "conv_igemm_bf16_avx512_amx");
  const Machine machine = Machine::typical(Isa::avx512_bf16);
  const plan::Plan allowed = plan::make(graph, shapes, machine, {.bfloat16 = true}), plain = plan::make(graph, shapes, machine);
  CHECK(kernel_of_step(allowed, "conv1") == "conv_igemm_bf16_avx512_bf16");
  for (const plan::Step& step : allowed.steps) {
    if (step.name == "conv1") CHECK((step.weight_type == DType::bfloat16 && step.input_type == DType::bfloat16));
  }
  for (const plan::Step& step : plain.steps) {
    CHECK(step.kernel.find("bf16") == std::string::npos);
    for (const plan::Candidate& c : step.candidates) {
      if (c.kernel == "conv_igemm_bf16_avx512_bf16") CHECK(c.refused.find("--precision") != std::string::npos);
    }
  }
}

}  // namespace
}  // namespace konv::test
