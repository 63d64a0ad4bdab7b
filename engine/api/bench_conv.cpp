#include <konv/bench.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "engine/api/bench_layer.h"
#include "engine/api/model_impl.h"
#include "engine/api/runtime_impl.h"
#include "engine/run/context.h"

namespace konv {
namespace {

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
  api::judge(got, expected, report);
}

}  // namespace

std::vector<ConvReport> bench_convolution(const ConvLayer& layer, const Runtime& runtime, const ConvBenchOptions& options) {
  using Clock = std::chrono::steady_clock;
  Graph network = api::layer_graph(layer, options.seed);
  api::prune_weights(network, options.sparsity, options.seed);
  api::prune_rows(network, options.k_sparsity, 1, options.seed);
  const auto graph = std::make_shared<const Graph>(std::move(network));
  const std::map<ValueId, Dims> shapes = {{graph->inputs()[0], Dims(layer.input.begin(), layer.input.end())}};
  const Machine machine = api::machine_for();
  const Machine& here = api::measured_machine();
  ThreadPool& pool = runtime.impl_->pool;
  const Tensor input = api::noise(Dims(layer.input.begin(), layer.input.end()), options.seed);

  // The planner's own choice says who refuses and why.
  const plan::Plan chosen = plan::make(*graph, shapes, machine);
  constexpr double any_error = 1;  // opt-in algorithms are shown too
  const plan::Plan open = plan::make(*graph, shapes, machine, {.max_error = any_error});
  const plan::Step& own = open.steps[api::conv_step(open)];
  const ConvShape shape = std::get<plan::ConvStep>(own.work).shape;
  std::vector<ConvReport> reports;
  std::vector<Contestant> contestants;
  run::PackedWeights packed;
  for (const ConvKernel& kernel : conv_kernels()) {
    if (!options.algorithm.empty() && options.algorithm != kernel.name) continue;
    ConvReport report{
        .algorithm = kernel.name, .isa = name(kernel.isa), .chosen = chosen.steps[api::conv_step(chosen)].kernel == kernel.name};
    const auto candidate =
        std::find_if(own.candidates.begin(), own.candidates.end(), [&](const plan::Candidate& c) { return c.kernel == kernel.name; });
    if (candidate != own.candidates.end() && !candidate->refused.empty()) {
      report.refused = candidate->refused;
    } else {
      plan::Plan plan = plan::make(*graph, shapes, machine, {.max_error = any_error, .asked_for = {{"conv", kernel.name}}});
      const std::size_t step = api::conv_step(plan);
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

  const std::vector<double> expected = api::exact(shape, *graph, input.f32().data(), pool);
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
    report.median_seconds = api::median(c.seconds);
    report.gflops = 2e-9 * static_cast<double>(shape.macs()) / report.median_seconds;
    report.share_of_peak = 1e9 * report.gflops / (here.flops * (threads ? pool.threads() : 1));
  }
  return reports;
}

}  // namespace konv
