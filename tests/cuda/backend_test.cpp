// What the backend asks of a device: allocations, graph launches, and what becomes of failures. The interpreted device keeps count.
#include <konv/error.hpp>

#include "tests/cuda/interpreted_device.h"
#include "tests/cuda/networks/networks.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"

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
