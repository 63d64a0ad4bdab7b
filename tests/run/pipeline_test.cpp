// Convolutions that run together, some rows at a time: the same bits as one after the other.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/plan/pipelines.h"
#include "engine/run/context.h"
#include "engine/run/network.h"
#include "kernels/base/isa.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {
namespace {

/// A cache that nothing fits into but a few rows.
Machine small_cache() {
  Machine machine = Machine::typical(choose_isa().isa);
  machine.l2_bytes = 96 << 10;
  return machine;
}

std::string kernel_of(const std::string& family, const Machine& machine) {
  for (const ConvKernel& kernel : conv_kernels()) {
    if (std::string(kernel.name).starts_with(family) && kernel.isa <= machine.isa) return kernel.name;
  }
  FAIL("no kernel ", family);
  return {};
}

struct Block {
  std::int64_t height, width, channels, expanded, kernel, stride, dilation;
};

/// An inverted residual block behind a depthwise convolution: its residual is what that one gives.
Graph inverted_residual(Rng& rng, const Block& b) {
  Graph graph;
  const Activation relu6{ActivationKind::clip, 0, 6};
  const std::int64_t pad = b.dilation * (b.kernel / 2);
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), b.channels, b.height, b.width});
  const ValueId first =
      add_conv(graph, rng, "first", x, b.channels, b.channels, {.kernel = {3, 3}, .pads = {1, 1, 1, 1}, .groups = b.channels});
  const ValueId wide = add_conv(graph, rng, "expand", first, b.channels, b.expanded, {.kernel = {1, 1}, .activation = relu6});
  const ValueId deep = add_conv(graph, rng, "depthwise", wide, b.expanded, b.expanded,
                                {.kernel = {b.kernel, b.kernel},
                                 .strides = {b.stride, b.stride},
                                 .pads = {pad, pad, pad, pad},
                                 .dilations = {b.dilation, b.dilation},
                                 .groups = b.expanded,
                                 .activation = relu6});
  const ValueId weight = graph.add_constant("project.weight", random_tensor(rng, {b.channels, b.expanded, 1, 1}));
  const ValueId bias = graph.add_constant("project.bias", random_tensor(rng, {b.channels}));
  std::vector<ValueId> inputs = {deep, weight, bias};
  if (b.stride == 1) inputs.push_back(first);
  graph.add_output(graph.add("project", Conv{}, inputs));
  return graph;
}

Tensor run(const std::shared_ptr<const run::Executable>& executable, const Tensor& input, int threads) {
  run::Context context(executable, threads);
  ThreadPool pool(threads);
  const plan::Value& value = executable->plan().values[static_cast<std::size_t>(executable->plan().outputs[0])];
  MutableTensor output(DType::float32, value.dims);
  for (int repeat = 0; repeat < 2; ++repeat) {  // a second run finds the first one's rubbish in arena and workspace
    context.set_input(0, input.bytes.get());
    context.run(threads > 1 ? &pool : nullptr);
    context.get_output(0, output.bytes.get());
  }
  return output;
}

TEST_CASE("a pipeline of pointwise and depthwise convolutions gives the bits of one after the other, at any number of threads") {
  const Machine machine = small_cache();
  const Block blocks[] = {{45, 19, 24, 72, 3, 1, 1}, {46, 17, 16, 40, 3, 2, 1}, {31, 23, 20, 64, 5, 1, 1},
                          {61, 12, 16, 96, 5, 2, 1}, {37, 21, 16, 48, 3, 1, 2}, {40, 16, 32, 64, 3, 1, 1}};
  unsigned seed = 0;
  for (const Block& block : blocks) {
    for (const char* pointwise : {"conv_blocked_f32", "conv_igemm_f32"}) {
      CAPTURE(block.height);
      CAPTURE(pointwise);
      Rng rng(++seed);
      const Graph graph = inverted_residual(rng, block);
      const std::string expand = kernel_of(pointwise, machine), deep = kernel_of("conv_depthwise_blocked_f32", machine);
      plan::Options options{
          .asked_for = {{"first", deep}, {"expand", expand}, {"depthwise", deep}, {"project", kernel_of("conv_blocked_f32", machine)}}};
      run::Network network(graph);
      const Tensor input = random_inputs(rng, graph, 2).begin()->second;
      const auto joined = network.executable({input.dims}, machine, options);
      options.pipelines = false;
      const auto apart = network.executable({input.dims}, machine, options);
      const auto together = [](const run::Executable& e) {
        return std::count_if(e.plan().steps.begin(), e.plan().steps.end(), [](const plan::Step& s) { return s.with_previous; });
      };
      CHECK(together(*apart) == 0);
      REQUIRE(together(*joined) >= (block.stride == 1 ? 2 : 1));
      CHECK(joined->plan().arena_bytes < apart->plan().arena_bytes);
      const Tensor expected = run(apart, input, 1);
      CHECK_CLOSE(expected, run_reference(graph, {{"x", input}})[0], tolerance(DType::float32, 512, 8));
      for (const int threads : {1, 2, 3}) {
        CAPTURE(threads);
        const Tensor actual = run(joined, input, threads);
        CHECK(std::equal(actual.f32().begin(), actual.f32().end(), expected.f32().begin(), expected.f32().end()));
      }
    }
  }
}

TEST_CASE("a chain of more convolutions than a pipeline has stages is several pipelines") {
  const Machine machine = [] {
    Machine m = small_cache();
    m.l2_bytes = 160 << 10;
    return m;
  }();
  const std::string pointwise = kernel_of("conv_blocked_f32", machine), deep = kernel_of("conv_depthwise_blocked_f32", machine);
  Rng rng(21);
  Graph graph;
  plan::Options options;
  ValueId value = graph.add_input("x", DType::float32, {Dim::symbol("N"), 16, 64, 48});
  for (int i = 0; i < 10; ++i) {
    const std::string name = std::to_string(i);
    value = add_conv(graph, rng, "deep" + name, value, 16, 16, {.pads = {1, 1, 1, 1}, .groups = 16});
    value = add_conv(graph, rng, "point" + name, value, 16, 16, {.kernel = {1, 1}});
    options.asked_for["deep" + name] = deep;
    options.asked_for["point" + name] = pointwise;
  }
  graph.add_output(value);
  run::Network network(graph);
  const Tensor input = random_inputs(rng, graph, 1).begin()->second;
  const auto joined = network.executable({input.dims}, machine, options);
  options.pipelines = false;
  const auto apart = network.executable({input.dims}, machine, options);
  std::size_t heads = 0, longest = 0, length = 0;
  for (const plan::Step& step : joined->plan().steps) {
    length = step.with_previous ? length + 1 : 1;
    heads += step.rows_at_once > 0;
    longest = std::max(longest, length);
  }
  CHECK(heads >= 2);
  CHECK(longest > 2);
  CHECK(longest <= plan::kMostStages);
  const Tensor expected = run(apart, input, 1), actual = run(joined, input, 2);
  CHECK(std::equal(actual.f32().begin(), actual.f32().end(), expected.f32().begin(), expected.f32().end()));
}

TEST_CASE("images that fit the cache, or that others read too, are no part of a pipeline") {
  Rng rng(5);
  const auto joined = [&](bool wide_is_output, const Machine& machine) {
    Graph graph;
    const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 32, 40, 40});
    const ValueId wide = add_conv(graph, rng, "expand", x, 32, 64, {.kernel = {1, 1}});
    graph.add_output(add_conv(graph, rng, "depthwise", wide, 64, 64, {.pads = {1, 1, 1, 1}, .groups = 64}));
    if (wide_is_output) graph.add_output(wide);
    const plan::Options options{
        .asked_for = {{"expand", kernel_of("conv_blocked_f32", machine)}, {"depthwise", kernel_of("conv_depthwise_blocked_f32", machine)}}};
    run::Network network(graph);
    const auto executable = network.executable({{1, 32, 40, 40}}, machine, options);
    const auto& steps = executable->plan().steps;
    return std::any_of(steps.begin(), steps.end(), [](const plan::Step& s) { return s.with_previous; });
  };
  Machine roomy = small_cache();
  roomy.l2_bytes = 1 << 30;
  CHECK(joined(false, small_cache()));
  CHECK_FALSE(joined(true, small_cache()));
  CHECK_FALSE(joined(false, roomy));
}

}  // namespace
}  // namespace konv::test
