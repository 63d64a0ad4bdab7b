#include <konv/bench.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <random>

#include <fmt/format.h>

#include "engine/api/model_impl.h"
#include "engine/api/runtime_impl.h"
#include "engine/run/context.h"

namespace konv {
namespace {

Tensor noise(Dims dims, std::uint64_t seed, float scale = 1) {
  MutableTensor tensor(DType::float32, std::move(dims));
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  for (float& x : tensor.f32()) x = uniform(random);
  return tensor;
}

/// The layer as a network; outputs stay near 1 whatever K is.
Graph layer_graph(const ConvLayer& l, std::uint64_t seed) {
  if (l.groups < 1 || l.input[1] % l.groups != 0 || l.filter[0] % l.groups != 0) {
    throw Error(fmt::format("--groups {}: {} input and {} output channels; expected both to be multiples of it", l.groups, l.input[1],
                            l.filter[0]));
  }
  Graph graph;
  const ValueId in = graph.add_input("input", DType::float32, to_shape(Dims(l.input.begin(), l.input.end())));
  const std::int64_t group_in = l.input[1] / l.groups;
  const auto k = static_cast<float>(group_in * l.filter[1] * l.filter[2]);
  const ValueId weight =
      graph.add_constant("weight", noise({l.filter[0], group_in, l.filter[1], l.filter[2]}, seed + 1, std::sqrt(3.0f / std::max(1.0f, k))));
  const ValueId bias = graph.add_constant("bias", noise({l.filter[0]}, seed + 2));
  Conv conv;
  conv.window.strides.assign(l.stride.begin(), l.stride.end());
  conv.window.pads.assign(l.pad.begin(), l.pad.end());
  conv.window.dilations.assign(l.dilation.begin(), l.dilation.end());
  conv.groups = l.groups;
  conv.activation = {.kind = ActivationKind::relu};
  graph.add_output(graph.add("conv", conv, {in, weight, bias}));
  verify(graph);
  return graph;
}

std::size_t conv_step(const plan::Plan& plan) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    if (std::holds_alternative<plan::ConvStep>(plan.steps[i].work)) return i;
  }
  throw Error("layer: has no outputs; expected at least one");
}

/// The first image's outputs in double, channels side by side on the pool's threads.
std::vector<double> exact(ConvShape s, const Graph& graph, const float* in, ThreadPool& pool) {
  s.batch = 1;
  std::vector<double> out(static_cast<std::size_t>(s.out_channels * s.out_pixels()));
  const float* weight = graph.constant(*graph.find_value("weight"))->f32().data();
  const float* bias = graph.constant(*graph.find_value("bias"))->f32().data();
  ConvShape one = s;  // one output channel, of one group
  one.groups = one.out_channels = 1;
  one.in_channels = s.group_in();
  const auto channel = [&](std::int64_t o, int) {
    conv_oracle(one, in + o / s.group_out() * s.group_in() * s.in_h * s.in_w, weight + o * s.k(), bias + o, nullptr,
                {.kind = ActivationKind::relu}, out.data() + o * s.out_pixels());
  };
  if (pool.threads() > 1 && pool.try_acquire()) {
    pool.run(s.out_channels, channel);
    pool.release();
  } else {
    for (std::int64_t o = 0; o < s.out_channels; ++o) channel(o, 0);
  }
  return out;
}

/// One algorithm made ready to run.
struct Contestant {
  std::size_t report;  ///< index of its report
  std::size_t step;
  std::unique_ptr<run::Context> context;
  std::vector<double> seconds, all_steps;
};

void judge(Contestant& c, const std::vector<double>& expected, ConvReport& report) {
  std::vector<float> got(static_cast<std::size_t>(c.context->output_bytes(0)) / sizeof(float));
  c.context->get_output(0, got.data());
  double worst = 0, largest = 1, squares = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double off = std::fabs(got[i] - expected[i]);
    worst = off > worst || std::isnan(off) ? off : worst;
    largest = std::max(largest, std::fabs(expected[i]));
    squares += off * off;
  }
  report.max_rel_error = worst / largest;
  report.mse = squares / static_cast<double>(std::max<std::size_t>(1, expected.size()));
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::vector<ConvReport> bench_convolution(const ConvLayer& layer, const Runtime& runtime, const ConvBenchOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto graph = std::make_shared<const Graph>(layer_graph(layer, options.seed));
  const std::map<ValueId, Dims> shapes = {{graph->inputs()[0], Dims(layer.input.begin(), layer.input.end())}};
  const Machine machine = api::machine_for();
  const Machine& here = api::measured_machine();
  ThreadPool& pool = runtime.impl_->pool;
  const Tensor input = noise(Dims(layer.input.begin(), layer.input.end()), options.seed);

  // The planner's own choice says who refuses and why.
  const plan::Plan chosen = plan::make(*graph, shapes, machine);
  const plan::Step& own = chosen.steps[conv_step(chosen)];
  const ConvShape shape = std::get<plan::ConvStep>(own.work).shape;
  std::vector<ConvReport> reports;
  std::vector<Contestant> contestants;
  run::PackedWeights packed;
  for (const ConvKernel& kernel : conv_kernels()) {
    if (!options.algorithm.empty() && options.algorithm != kernel.name) continue;
    ConvReport report{.algorithm = kernel.name, .isa = name(kernel.isa), .chosen = own.kernel == kernel.name};
    const auto candidate =
        std::find_if(own.candidates.begin(), own.candidates.end(), [&](const plan::Candidate& c) { return c.kernel == kernel.name; });
    if (candidate != own.candidates.end() && !candidate->refused.empty()) {
      report.refused = candidate->refused;
    } else {
      plan::Plan plan = plan::make(*graph, shapes, machine, {.asked_for = {{"conv", kernel.name}}});
      const std::size_t step = conv_step(plan);
      report.predicted_seconds = plan.steps[step].cost;
      report.workspace_bytes = plan.steps[step].workspace * pool.threads();
      auto executable = std::make_shared<const run::Executable>(graph, std::move(plan), packed);
      auto context = std::make_unique<run::Context>(executable, pool.threads());
      context->set_input(0, input.f32().data());
      contestants.push_back({reports.size(), step, std::move(context), {}, std::vector<double>(executable->plan().steps.size())});
    }
    reports.push_back(std::move(report));
  }
  if (reports.empty()) {
    std::string names;
    for (const ConvKernel& kernel : conv_kernels()) names += (names.empty() ? "" : ", ") + std::string(kernel.name);
    throw Error(fmt::format("--algorithm {}: there is none of this name; expected all or one of {}", options.algorithm, names));
  }

  const std::vector<double> expected = exact(shape, *graph, input.f32().data(), pool);
  ThreadPool* threads = pool.threads() > 1 && pool.try_acquire() ? &pool : nullptr;
  const auto round = [&](Contestant& c) {
    std::fill(c.all_steps.begin(), c.all_steps.end(), 0.0);
    c.context->run_timed(threads, c.all_steps);
    return c.all_steps[c.step];
  };
  for (Contestant& c : contestants) {  // the first run warms up, and tells how slow the algorithm is
    c.seconds.push_back(round(c));
    judge(c, expected, reports[c.report]);
  }
  const Clock::time_point begin = Clock::now();
  const double fastest = std::min_element(contestants.begin(), contestants.end(), [](const Contestant& a, const Contestant& b) {
                           return a.seconds[0] < b.seconds[0];
                         })->seconds[0];
  while (std::chrono::duration<double>(Clock::now() - begin).count() < options.seconds) {
    for (Contestant& c : contestants) {
      // Who is thirty times slower than the best takes a turn now and then only.
      if (c.seconds[0] > 30 * fastest && c.seconds.size() * c.seconds[0] > options.seconds / 10) continue;
      c.seconds.push_back(round(c));
    }
  }
  if (threads) pool.release();

  for (Contestant& c : contestants) {
    if (c.seconds.size() > 1) c.seconds.erase(c.seconds.begin());
    ConvReport& report = reports[c.report];
    report.median_seconds = median(c.seconds);
    report.gflops = 2e-9 * static_cast<double>(shape.macs()) / report.median_seconds;
    report.share_of_peak = 1e9 * report.gflops / (here.flops * (threads ? pool.threads() : 1));
  }
  return reports;
}

}  // namespace konv
