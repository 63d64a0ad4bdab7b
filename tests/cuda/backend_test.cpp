// What the backend asks of a device: allocations, graph launches, and what becomes of failures. The interpreted device keeps count.
#include <konv/error.hpp>

#include <set>

#include "engine/run/cuda/device_plan.h"
#include "engine/run/network.h"
#include "tests/cuda/interpreted_device.h"
#include "tests/cuda/networks/networks.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {

run::CudaDevice network_device(simt::Order order) { return interpreted_device(order); }
bool can_run_networks() { return true; }

namespace {

TEST_CASE("cuda network: a run is one graph launch and allocates nothing") {
  Rng rng(13);
  Graph graph = residual_block(rng, 16, 12, 1);
  verify(graph);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 1);
  const std::int64_t live = device_log().live_allocations;
  {
    const auto context = prepare(graph, shapes_of(graph, inputs), network_target(Precision::float16));
    run_once(*context, inputs);
    const DeviceLog before = device_log();
    run_once(*context, inputs);
    const DeviceLog after = device_log();
    CHECK(after.graph_launches - before.graph_launches == 1);
    CHECK(after.allocations == before.allocations);
    CHECK(after.copies_outside_graphs == before.copies_outside_graphs);
    CHECK(after.launches - before.launches >= static_cast<std::int64_t>(context->executable().plan().steps.size()));

    std::vector<double> seconds(context->executable().plan().steps.size());
    context->run_timed(seconds);
    for (const double s : seconds) CHECK(s > 0);
    MutableTensor out(DType::float32, {context->output_bytes(0) / 4});
    context->get_output(0, out.bytes.get());
    const Tensor expected = run_once(*context, inputs)[0];
    CHECK_CLOSE(out.f32(), expected.f32(), 0.0);
  }
  CHECK(device_log().live_allocations == live);  // everything is given back
}

/// x -> 1x1 convolution with bias, the sum with itself and ReLU inside.
Graph pointwise_network(Rng& rng, Activation activation) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 24, 9, 7});
  const ValueId weight = graph.add_constant("weight", random_tensor(rng, {24, 24, 1, 1})),
                bias = graph.add_constant("bias", random_tensor(rng, {24}));
  Conv op;
  op.activation = activation;
  graph.add_output(graph.add("conv", op, {x, weight, bias, x}));
  verify(graph);
  return graph;
}

TEST_CASE("cuda network: cuBLASLt adds bias and residual and activates, made once per shape") {
  Rng rng(21);
  const Graph graph = pointwise_network(rng, {ActivationKind::relu, 0, 0});
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 2);
  const std::vector<Tensor> expected = run_reference(graph, inputs);
  for (const Precision precision : kAllPrecisions) {
    plan::CudaTarget target = network_target(precision);
    target.asked_for = {{"conv", std::string("conv_cublaslt_") + (precision == Precision::float32 ? "f32"
                                                                  : precision == Precision::tf32  ? "tf32"
                                                                                                  : "f16")}};
    const auto context = prepare(graph, shapes_of(graph, inputs), target);
    CHECK(device_log().live_products == 1);
    const std::int64_t products = device_log().products;
    for (int repeat = 0; repeat < 2; ++repeat) CHECK_CLOSE(run_once(*context, inputs)[0], expected[0], allowed(precision, 2));
    CHECK(device_log().products - products == 2);
    CHECK(device_log().live_products == 1);
  }
  CHECK(device_log().live_products == 0);

  const Graph other = pointwise_network(rng, {ActivationKind::silu, 0, 0});
  plan::CudaTarget target = network_target(Precision::float16);
  target.asked_for = {{"conv", "conv_cublaslt_f16"}};
  std::string message;
  try {
    plan::make_for_cuda(other, shapes_of(other, inputs), target);
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.find("conv_cublaslt_f16: the library's epilogue has no such activation") != std::string::npos);
}

TEST_CASE("cuda network: where cuBLASLt cannot be opened, plans do without it and say why") {
  Rng rng(22);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 512, 16, 16});
  graph.add_output(add_conv(graph, rng, "conv", x, 512, 128, {.kernel = {1, 1}}));
  verify(graph);
  const std::map<ValueId, Dims> shapes = {{x, {132, 512, 16, 16}}};  // two whole tiles per multiprocessor
  const run::CudaDevice device = interpreted_device();
  const auto step = [](const plan::Plan& plan) { return plan.steps[1]; };  // behind the input's reorder

  plan::CudaTarget target = network_target(Precision::float32);
  CHECK(step(run::plan_for(graph, shapes, target, device)).kernel == "conv_cublaslt_f32");
  CHECK(target.no_cublas.empty());
  lose_cublas(true);
  const plan::Plan without = run::plan_for(graph, shapes, target, device);
  lose_cublas(false);
  CHECK(!plan::calls_cublas(without));
  int refused = 0;
  for (const plan::Candidate& c : step(without).candidates)
    refused += c.refused == "cuBLASLt cannot be loaded: libcublasLt.so: cannot open shared object file";
  CHECK(refused == 2);
}

TEST_CASE("cuda network: shapes of one model share its packed weights") {
  Rng rng(23);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 64, Dim::symbol("H"), 12});
  const ValueId wide = add_conv(graph, rng, "wide", x, 64, 128, {.pads = {1, 1, 1, 1}});
  graph.add_output(add_conv(graph, rng, "narrow", wide, 128, 64, {.kernel = {1, 1}}));
  verify(graph);
  const run::CudaDevice device = interpreted_device();
  run::Network network(graph);
  plan::CudaTarget target = network_target(Precision::float16);
  target.asked_for = {{"wide", "conv_gemm_f16_64x64"}, {"narrow", "conv_gemm_f16_64x64"}};
  const std::int64_t weight_bytes = 2 * (128 * 64 * 9 + 64 * 128);
  std::vector<std::shared_ptr<const run::CudaExecutable>> executables;
  for (const Dims& dims : {Dims{1, 64, 5, 12}, Dims{3, 64, 5, 12}, Dims{1, 64, 8, 12}}) {
    const std::int64_t before = device_log().bytes_sent;
    executables.push_back(std::make_shared<const run::CudaExecutable>(
        network.shared_graph(), run::plan_for(graph, {{x, dims}}, target, device), target.precision, *network.cuda_weights(device)));
    const std::int64_t sent = device_log().bytes_sent - before;
    if (executables.size() == 1) {
      CHECK(sent > weight_bytes);
    } else {
      CHECK(sent < weight_bytes / 10);  // groups of K and biases
    }
    for (std::size_t step = 1; step < 3; ++step)
      CHECK(executables.back()->constants(step).weight == executables[0]->constants(step).weight);
    const std::map<std::string, Tensor> inputs = {{"x", random_tensor(rng, dims)}};
    run::CudaContext context(executables.back());
    CHECK_CLOSE(run_once(context, inputs)[0], run_reference(graph, inputs)[0], allowed(target.precision, 4));
  }
}

TEST_CASE("cuda network: timed runs take turns in arenas that together exceed the L2 cache") {
  Rng rng(24);
  Graph graph = residual_block(rng, 16, 12, 1);
  verify(graph);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 1);
  const std::int64_t live = device_log().live_products;
  const run::CudaDevice device = interpreted_device();
  run::CudaWeights weights(device);
  plan::CudaTarget target = network_target(Precision::float16);
  plan::Plan plan = run::plan_for(graph, shapes_of(graph, inputs), target, device);
  const std::int64_t arena = plan.arena_bytes;
  CHECK(run::arenas_beyond_l2(plan, target.gpu) * arena > 2 * target.gpu.l2_bytes);
  run::CudaContext context(
      std::make_shared<run::CudaExecutable>(std::make_shared<const Graph>(graph), std::move(plan), target.precision, weights), 3);
  const Tensor expected = run_once(context, inputs)[0];
  std::vector<double> seconds(context.executable().plan().steps.size());
  std::set<const void*> written;
  for (int turn = 0; turn < 6; ++turn) {
    const Tensor input = random_tensor(rng, inputs.begin()->second.dims);
    context.set_input(0, input.bytes.get());
    context.run_timed(seconds);
    written.insert(device_log().last_copied_from);
    MutableTensor out(DType::float32, expected.dims);
    context.get_output(0, out.bytes.get());
    CHECK_CLOSE(Tensor(out), run_once(context, {{inputs.begin()->first, input}})[0], 0.0);
  }
  CHECK(written.size() == 3);
  CHECK(device_log().live_products == live);
}

TEST_CASE("cuda network: a device without room is an error, and nothing leaks") {
  Rng rng(14);
  Graph graph = conv_bn_relu(rng);
  verify(graph);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 1);
  const std::int64_t live = device_log().live_allocations;
  fail_next_allocation();
  CHECK_THROWS_WITH_AS(prepare(graph, shapes_of(graph, inputs), network_target(Precision::float32)),
                       "cuda:0: allocating memory: out of memory; expected it to succeed", Error);
  CHECK(device_log().live_allocations == live);
}

}  // namespace
}  // namespace konv::test
