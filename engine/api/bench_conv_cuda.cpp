// One layer on a GPU: predicted anywhere, measured where the GPU is.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "engine/api/bench_layer.h"
#include "engine/api/device_choice.h"
#include "engine/plan/cuda/weight.h"
#include "engine/run/cuda/context.h"
#include "engine/run/cuda/device_plan.h"
#include "engine/run/network.h"

namespace konv {
namespace {

/// The layer with so many of its K groups pruned, which its kernels then leave out.
Graph pruned_layer(const ConvLayer& layer, cuda::Precision precision, const GpuBenchOptions& o) {
  Graph graph = api::layer_graph(layer, o.seed);
  api::prune_rows(graph, o.k_sparsity, 32 / cuda::element_bytes(precision), o.seed);
  return graph;
}

struct Layer {
  std::shared_ptr<const Graph> graph;
  std::map<ValueId, Dims> shapes;
  plan::Plan plan;
  std::size_t step;
  api::GpuChoice gpu;
};

Layer layer_on_gpu(const ConvLayer& layer, const GpuBenchOptions& o) {
  const std::optional<api::GpuChoice> gpu = api::choose_gpu({.device = o.device, .precision = o.precision});
  if (!gpu) throw Error(fmt::format("--device {}: is no GPU; expected cuda, cuda:N or a described one such as cuda:h200", o.device));
  Layer l{std::make_shared<const Graph>(pruned_layer(layer, gpu->target.precision, o)), {}, {}, 0, *gpu};
  if (l.gpu.device) run::open_cublas(l.gpu.target, *l.gpu.device);  // all kernels are asked about
  l.shapes = {{l.graph->inputs()[0], Dims(layer.input.begin(), layer.input.end())}};
  l.plan = plan::make_for_cuda(*l.graph, l.shapes, l.gpu.target);
  l.step = api::conv_step(l.plan);
  return l;
}

/// The kernels of the layer's precision, all or the one asked for.
std::vector<const cuda::ConvKernel*> kernels_of(const Layer& l, const std::string& algorithm) {
  std::vector<const cuda::ConvKernel*> kernels;
  std::string names;
  for (const cuda::ConvKernel& kernel : cuda::conv_kernels()) {
    if (kernel.precision != l.gpu.target.precision) continue;
    names += (names.empty() ? "" : ", ") + std::string(kernel.name);
    if (algorithm.empty() || algorithm == kernel.name) kernels.push_back(&kernel);
  }
  if (kernels.empty())
    throw Error(fmt::format("--algorithm {}: there is none of this name for {}; expected all or one of {}", algorithm,
                            cuda::name(l.gpu.target.precision), names));
  return kernels;
}

std::string refusal(const plan::Step& step, const cuda::ConvKernel& kernel) {
  for (const plan::Candidate& c : step.candidates) {
    if (c.kernel == kernel.name) return c.refused;
  }
  return {};
}

}  // namespace

std::vector<ConvPrediction> predict_convolution(const ConvLayer& layer, const GpuBenchOptions& options) {
  const Layer l = layer_on_gpu(layer, options);
  const plan::Step& own = l.plan.steps[l.step];
  const cuda::Gpu& gpu = l.gpu.target.gpu;
  std::vector<ConvPrediction> predictions;
  for (const cuda::ConvKernel* kernel : kernels_of(l, options.algorithm)) {
    ConvPrediction p{.algorithm = kernel->name, .refused = refusal(own, *kernel), .chosen = own.kernel == kernel->name};
    if (p.refused.empty()) {
      cuda::ConvProblem problem{.shape = std::get<plan::ConvStep>(own.work).shape,
                                .precision = kernel->precision,
                                .plain_input = kernel->reads_plain_input(),
                                .activation = std::get<plan::ConvStep>(own.work).activation.kind};
      if (problem.shape.groups == 1)
        problem.kept_groups = count_kept_groups(problem, plan::weight_values(*l.graph, *l.graph->find_value("weight")));
      const cuda::Counts counts = kernel->count(problem);
      const auto whole = [](double x) { return static_cast<std::int64_t>(x + 0.5); };
      const double share =
          problem.kept_groups < 0 ? 1 : static_cast<double>(problem.kept_groups) / static_cast<double>(problem.all_groups());
      p.predicted_seconds = kernel->cost(problem, gpu);
      p.roofline_seconds =
          cuda::roofline_seconds(static_cast<double>(problem.shape.macs()) * share, counts.dram_bytes, gpu, problem.precision);
      p.blocks = whole(counts.blocks);
      p.blocks_per_multiprocessor = static_cast<int>(cuda::resident_blocks(counts, gpu));
      p.mma = whole(counts.mma);
      p.sectors = whole(counts.sectors);
      p.dram_bytes = whole(counts.dram_bytes);
      p.bank_conflicts = whole(counts.conflicts);
      p.workspace_bytes = kernel->algorithm->workspace(problem);
    }
    predictions.push_back(std::move(p));
  }
  return predictions;
}

std::vector<ConvReport> bench_convolution_on_gpu(const ConvLayer& layer, const GpuBenchOptions& options) {
  using Clock = std::chrono::steady_clock;
  Layer l = layer_on_gpu(layer, options);
  if (!l.gpu.device)
    throw Error(fmt::format("--device {}: describes a GPU; expected --predict, or cuda or cuda:N to run on", options.device));
  const plan::Step own = l.plan.steps[l.step];
  const cuda::Gpu& gpu = l.gpu.target.gpu;
  const ConvShape shape = std::get<plan::ConvStep>(own.work).shape;
  const Tensor input = api::noise(Dims(layer.input.begin(), layer.input.end()), options.seed);
  ThreadPool pool(0);
  const std::vector<double> expected = api::exact(std::get<plan::ConvStep>(own.work), *l.graph, input.f32().data(), pool);

  struct Contestant {
    std::size_t report, step;
    std::unique_ptr<run::CudaContext> context;
    std::vector<double> seconds, all_steps;
  };
  std::vector<ConvReport> reports;
  std::vector<Contestant> contestants;
  run::CudaWeights weights(*l.gpu.device);
  for (const cuda::ConvKernel* kernel : kernels_of(l, options.algorithm)) {
    ConvReport report{.algorithm = kernel->name,
                      .isa = fmt::format("sm_{}", gpu.capability),
                      .refused = refusal(own, *kernel),
                      .chosen = own.kernel == kernel->name};
    if (report.refused.empty()) {
      plan::CudaTarget target = l.gpu.target;
      target.asked_for = {{"conv", kernel->name}};
      plan::Plan plan = plan::make_for_cuda(*l.graph, l.shapes, target);
      const std::size_t step = api::conv_step(plan);
      report.predicted_seconds = plan.steps[step].cost;
      report.workspace_bytes = plan.steps[step].workspace;
      const std::size_t steps = plan.steps.size();
      const int arenas = run::arenas_beyond_l2(plan, gpu);
      auto executable = std::make_shared<const run::CudaExecutable>(l.graph, std::move(plan), target.precision, weights);
      auto context = std::make_unique<run::CudaContext>(std::move(executable), arenas);
      context->set_input(0, input.f32().data());
      context->run();
      std::vector<float> got(static_cast<std::size_t>(context->output_bytes(0)) / sizeof(float));
      context->get_output(0, got.data());
      api::judge(got, expected, report);
      contestants.push_back({reports.size(), step, std::move(context), {}, std::vector<double>(steps)});
    }
    reports.push_back(std::move(report));
  }
  const auto round = [](Contestant& c) {
    std::fill(c.all_steps.begin(), c.all_steps.end(), 0.0);
    c.context->run_timed(c.all_steps);
    return c.all_steps[c.step];
  };
  for (Contestant& c : contestants) {
    for (int i = 0; i < 3; ++i) round(c);  // clocks go up
  }
  const Clock::time_point begin = Clock::now();
  do {
    for (Contestant& c : contestants) c.seconds.push_back(round(c));
  } while (std::chrono::duration<double>(Clock::now() - begin).count() < options.seconds);
  for (Contestant& c : contestants) {
    ConvReport& report = reports[c.report];
    report.median_seconds = api::median(c.seconds);
    report.gflops = 2e-9 * static_cast<double>(shape.macs()) / report.median_seconds;
    report.share_of_peak = 1e9 * report.gflops / gpu.flops(l.gpu.target.precision);
  }
  return reports;
}

}  // namespace konv
