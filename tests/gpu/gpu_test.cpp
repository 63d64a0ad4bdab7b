// The tests that need a GPU: every convolution kernel and whole networks on the machine's first device. Skipped, and said so, where there is none.
#include <cstdio>
#include <cstring>

#include <konv/error.hpp>

#include "engine/run/cuda/device_plan.h"
#include "engine/run/cuda/plugin.h"
#include "kernels/cuda/conv/conv.h"
#include "tests/cuda/conv_cases.h"
#include "tests/cuda/networks/networks.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {

run::CudaDevice network_device(simt::Order) { return {run::cuda_plugin().table, 0, "cuda:0"}; }

bool can_run_networks() {
  const run::CudaPlugin& plugin = run::cuda_plugin();
  if (!plugin.table) std::printf("konv-skipped: %s\n", plugin.missing.c_str());
  return plugin.table != nullptr;
}

namespace {

TEST_CASE("gpu: memory copies there and back") {
  if (!can_run_networks()) return;
  const run::CudaDevice device = network_device(simt::Order::forward);
  const run::CudaStream stream(device);
  const run::DeviceMemory memory(device, 1 << 20);
  const run::PinnedMemory from(device, 1 << 20), to(device, 1 << 20);
  for (int i = 0; i < 1 << 20; ++i) from.data()[i] = static_cast<std::byte>(i * 7 + i / 256);
  std::memset(to.data(), 0, 1 << 20);
  device.check(device.table->copy_to_device(stream.get(), memory.data(), from.data(), 1 << 20), "copying");
  device.check(device.table->copy_to_host(stream.get(), to.data(), memory.data(), 1 << 20), "copying");
  device.check(device.table->synchronize(stream.get()), "copying");
  CHECK(std::memcmp(from.data(), to.data(), 1 << 20) == 0);
}

/// The case as a network of one node.
Graph network_of(const ConvCase& c, Rng& rng) {
  const ConvShape& s = c.shape;
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, to_shape({s.batch, s.in_channels, s.in_h, s.in_w}));
  std::vector<ValueId> inputs = {x,
                                 graph.add_constant("weight", random_tensor(rng, {s.out_channels, s.group_in(), s.kernel_h, s.kernel_w}))};
  inputs.push_back(c.bias ? graph.add_constant("bias", random_tensor(rng, {s.out_channels})) : ValueId{});
  if (c.residual) inputs.push_back(graph.add_input("residual", DType::float32, to_shape({s.batch, s.out_channels, s.out_h(), s.out_w()})));
  Conv op;
  op.window = {.strides = {s.stride_h, s.stride_w},
               .pads = {s.pad_top, s.pad_left, s.pad_bottom, s.pad_right},
               .dilations = {s.dilation_h, s.dilation_w}};
  op.groups = s.groups;
  op.activation = c.activation;
  graph.add_output(graph.add("conv", op, inputs));
  verify(graph);
  return graph;
}

TEST_CASE("gpu: every convolution kernel agrees with the reference") {
  if (!can_run_networks()) return;
  int ran = 0;
  for (const cuda::ConvKernel& kernel : cuda::conv_kernels()) {
    const std::string kernel_name = kernel.name;
    CAPTURE(kernel_name);
    plan::CudaTarget target = network_target(kernel.precision);
    target.asked_for = {{"conv", kernel.name}};
    if (kernel.calls_cublas()) run::open_cublas(target, network_device(simt::Order::forward));
    if (!target.no_cublas.empty()) {
      std::printf("gpu: left out %s: %s\n", kernel.name, target.no_cublas.c_str());
      continue;
    }
    int of_kernel = 0;
    Rng rng(71);
    for (const ConvCase& c : conv_cases()) {
      const Graph graph = network_of(c, rng);
      const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 1);
      try {
        plan::make_for_cuda(graph, shapes_of(graph, inputs), target);
      } catch (const Error&) {
        continue;  // it refuses
      }
      CAPTURE(c.shape.in_channels);
      CAPTURE(c.shape.out_channels);
      CAPTURE(c.shape.in_h);
      const auto context = prepare(graph, shapes_of(graph, inputs), target);
      const std::vector<Tensor> expected = run_reference(graph, inputs);
      for (int repeat = 0; repeat < 2; ++repeat) CHECK_CLOSE(run_once(*context, inputs)[0], expected[0], allowed(kernel.precision, 8));
      ++of_kernel;
    }
    CHECK(of_kernel > 0);
    ran += of_kernel;
  }
  std::printf("gpu: %zu convolution kernels, %d layers on %s\n", cuda::conv_kernels().size(), ran, run::cuda_plugin().devices[0].name);
}

}  // namespace
}  // namespace konv::test
