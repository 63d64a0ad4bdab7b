// ResNet-50 and MobileNetV2 at their full depth and width, random weights and small images, through the backend against the CPU's engine.
#include <cmath>

#include "engine/passes/passes.h"
#include "engine/run/context.h"
#include "engine/run/network.h"
#include "tests/cuda/networks/networks.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"

namespace konv::test {
namespace {

constexpr Activation kNone{}, kRelu{ActivationKind::relu, 0, 0}, kRelu6{ActivationKind::clip, 0, 6};

/// Adds layers one behind the other; weights keep the values' size (He et al., "Delving deep into rectifiers", 2015).
class Layers {
 public:
  Layers() { at = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, Dim::symbol("H"), Dim::symbol("W")}); }

  struct Options {
    std::int64_t kernel = 1, stride = 1, groups = 1;
    Activation activation = kRelu;
    float gain = 1;
  };
  ValueId conv(ValueId from, std::int64_t in, std::int64_t out, const Options& o) {
    const std::string name = "conv" + std::to_string(count_++);
    const std::int64_t pad = o.kernel / 2;
    const float bound = o.gain * std::sqrt(6.0f / static_cast<float>(in / o.groups * o.kernel * o.kernel));
    const ValueId weight =
        graph.add_constant(name + ".weight", random_tensor(rng_, {out, in / o.groups, o.kernel, o.kernel}, -bound, bound));
    const ValueId bias = graph.add_constant(name + ".bias", random_tensor(rng_, {out}, -0.1f, 0.1f));
    Conv op;
    op.window = {.strides = {o.stride, o.stride}, .pads = {pad, pad, pad, pad}};
    op.groups = o.groups;
    at = graph.add(name, op, {from, weight, bias});
    if (o.activation.kind != ActivationKind::none) at = graph.add(name + ".activation", Unary{o.activation}, {at});
    return at;
  }
  ValueId add(ValueId a, ValueId b) { return at = add_sum(graph, "sum" + std::to_string(count_++), a, b); }
  ValueId relu() { return at = add_relu(graph, "relu" + std::to_string(count_++), at); }

  /// Mean over the pixels and a fully connected layer.
  Graph classify(std::int64_t in, std::int64_t classes) {
    const ValueId mean = graph.add("mean", Reduce{.kind = ReduceKind::mean, .axes = {2, 3}, .keep_dims = true}, {at});
    const ValueId flat = graph.add("flat", Flatten{1}, {mean});
    const float bound = std::sqrt(3.0f / static_cast<float>(in));
    const ValueId weight = graph.add_constant("fc.weight", random_tensor(rng_, {classes, in}, -bound, bound));
    graph.add_output(
        graph.add("fc", Gemm{.transpose_b = true}, {flat, weight, graph.add_constant("fc.bias", random_tensor(rng_, {classes}))}));
    verify(graph);
    passes::run(graph, passes::select("default"), {.evaluate = run::evaluate});
    return std::move(graph);
  }

  Graph graph;
  ValueId at;

 private:
  Rng rng_{61};
  int count_ = 0;
};

/// He et al., "Deep residual learning for image recognition", table 1; the stride is in the 3x3 convolution, as in PyTorch's.
Graph resnet50() {
  Layers l;
  l.conv(l.at, 3, 64, {.kernel = 7, .stride = 2});
  l.at = l.graph.add("pool", Pool{.kind = PoolKind::max, .kernel = {3, 3}, .window = {.strides = {2, 2}, .pads = {1, 1, 1, 1}}}, {l.at});
  std::int64_t in = 64;
  for (const auto& [width, blocks] : {std::pair{64, 3}, {128, 4}, {256, 6}, {512, 3}}) {
    for (int block = 0; block < blocks; ++block) {
      const std::int64_t stride = block == 0 && width > 64 ? 2 : 1;
      const ValueId from = l.at;
      l.conv(from, in, width, {});
      l.conv(l.at, width, width, {.kernel = 3, .stride = stride});
      const ValueId main = l.conv(l.at, width, 4 * width, {.activation = kNone, .gain = 0.3f});
      const ValueId shortcut = block == 0 ? l.conv(from, in, 4 * width, {.stride = stride, .activation = kNone, .gain = 0.7f}) : from;
      l.add(main, shortcut);
      l.relu();
      in = 4 * width;
    }
  }
  return l.classify(in, 1000);
}

/// Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", table 2.
Graph mobilenet_v2() {
  struct Stage {
    std::int64_t expand, channels, blocks, stride;
  };
  Layers l;
  l.conv(l.at, 3, 32, {.kernel = 3, .stride = 2, .activation = kRelu6});
  std::int64_t in = 32;
  for (const Stage& s : {Stage{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}) {
    for (std::int64_t block = 0; block < s.blocks; ++block) {
      const ValueId from = l.at;
      const std::int64_t wide = in * s.expand, stride = block == 0 ? s.stride : 1;
      if (s.expand != 1) l.conv(l.at, in, wide, {.activation = kRelu6});
      l.conv(l.at, wide, wide, {.kernel = 3, .stride = stride, .groups = wide, .activation = kRelu6});
      l.conv(l.at, wide, s.channels, {.activation = kNone, .gain = 0.7f});
      if (stride == 1 && in == s.channels) l.add(l.at, from);
      in = s.channels;
    }
  }
  l.conv(l.at, in, 1280, {.activation = kRelu6});
  return l.classify(1280, 1000);
}

/// The network says the same on both, and what it says depends on the image. Returns the number of convolutions.
int check_against_cpu(const Graph& graph, std::int64_t size, Precision precision, double allowed) {
  Rng rng(67);
  const std::map<std::string, Tensor> inputs = {{"x", random_tensor(rng, {1, 3, size, size})}};
  run::Network network(graph);
  run::Context cpu(network.executable({inputs.at("x").dims}, Machine::typical(choose_isa().isa), {}), 1);
  MutableTensor expected(DType::float32, {1, 1000}), other(DType::float32, {1, 1000});
  cpu.set_input(0, random_tensor(rng, {1, 3, size, size}).bytes.get());
  cpu.run(nullptr);
  cpu.get_output(0, other.bytes.get());
  cpu.set_input(0, inputs.at("x").bytes.get());
  cpu.run(nullptr);
  cpu.get_output(0, expected.bytes.get());
  CHECK(difference(Tensor(other), Tensor(expected)).value > 10 * allowed);
  const auto context = prepare(graph, shapes_of(graph, inputs), network_target(precision), simt::Order::shuffled);
  CHECK_CLOSE(run_once(*context, inputs)[0], Tensor(expected), allowed);
  int convolutions = 0;
  for (const plan::Step& step : context->executable().plan().steps) {
    CHECK(step.kernel != plan::kCpuStep);
    convolutions += std::holds_alternative<plan::ConvStep>(step.work);
  }
  return convolutions;
}

TEST_CASE("cuda network: ResNet-50 in float32") {
  if (!can_run_networks()) return;
  CHECK(check_against_cpu(resnet50(), 32, Precision::float32, 1e-4) == 53);
}

TEST_CASE("cuda network: ResNet-50 in float16") {
  if (!can_run_networks()) return;
  CHECK(check_against_cpu(resnet50(), 32, Precision::float16, 0.02) == 53);
}

TEST_CASE("cuda network: MobileNetV2 in float32") {
  if (!can_run_networks()) return;
  CHECK(check_against_cpu(mobilenet_v2(), 64, Precision::float32, 1e-4) == 52);
}

TEST_CASE("cuda network: MobileNetV2 in float16") {
  if (!can_run_networks()) return;
  CHECK(check_against_cpu(mobilenet_v2(), 64, Precision::float16, 0.02) == 52);
}

}  // namespace
}  // namespace konv::test
