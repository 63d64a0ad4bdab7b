#include <konv/bench.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "engine/api/bench_layer.h"
#include "engine/api/device_choice.h"
#include "engine/api/model_impl.h"
#include "engine/api/runtime_impl.h"
#include "engine/graph/weights.h"
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

/// The kernels that the names stand for; all where there are none.
std::set<std::string> kernels_named(const std::vector<std::string>& wanted, Isa isa) {
  std::set<std::string> names;
  std::string all;
  for (const ConvKernel& kernel : conv_kernels()) {
    if (kernel.isa <= isa) all += (all.empty() ? "" : ", ") + std::string(kernel.name);
    if (wanted.empty()) names.insert(kernel.name);
  }
  for (const std::string& want : wanted) {
    const ConvKernel* found = nullptr;
    for (const ConvKernel& kernel : conv_kernels()) {
      const bool short_name = kernel.isa <= isa && want + "_" + name(kernel.isa) == kernel.name;
      if (want == kernel.name || (short_name && (!found || kernel.isa > found->isa))) found = &kernel;
    }
    if (!found)
      throw Error(fmt::format("--algorithm {}: there is none of this name for {}; expected all or some of {}", want, name(isa), all));
    names.insert(found->name);
  }
  return names;
}

/// Reads as much as the second-level caches hold: a layer's weights were last read one inference ago.
class CacheSweep {
 public:
  CacheSweep(const Machine& machine, int threads) : chunk_(static_cast<std::size_t>(machine.l2_bytes) / sizeof(int)), threads_(threads) {
    words_.assign(2 * chunk_ * static_cast<std::size_t>(threads), 1);
  }

  void operator()(ThreadPool* pool) {
    const auto read = [&](std::int64_t i, int) {
      int sum = 0;
      for (std::size_t k = 0; k < chunk_; k += 16) sum += words_[static_cast<std::size_t>(i) * chunk_ + k];
      words_[static_cast<std::size_t>(i) * chunk_] = sum;
    };
    if (pool) {
      pool->run(2 * threads_, read);
    } else {
      for (std::int64_t i = 0; i < 2 * threads_; ++i) read(i, 0);
    }
  }

 private:
  std::size_t chunk_;
  std::int64_t threads_;
  std::vector<int> words_;
};

/// What all contestants share.
struct Race {
  std::shared_ptr<const Graph> graph;  ///< one convolution, as api::layer_graph() makes it
  Tensor input;
  std::set<std::string> kernels;
  plan::Options options;
};

std::vector<ConvReport> run_race(const Race& race, ThreadPool& pool, double seconds) {
  using Clock = std::chrono::steady_clock;
  const Graph& graph = *race.graph;
  const std::map<ValueId, Dims> shapes = {{graph.inputs()[0], race.input.dims}};
  const Machine machine = api::machine_for();

  // The planner's own choice says who refuses and why.
  const plan::Plan chosen = plan::make(graph, shapes, machine, race.options);
  plan::Options any = race.options;
  any.max_error = 1;  // opt-in algorithms are shown too
  const plan::Plan open = plan::make(graph, shapes, machine, any);
  const plan::Step& own = open.steps[api::conv_step(open)];
  const auto& work = std::get<plan::ConvStep>(own.work);
  std::vector<ConvReport> reports;
  std::vector<Contestant> contestants;
  run::PackedWeights packed;
  for (const ConvKernel& kernel : conv_kernels()) {
    if (!race.kernels.count(kernel.name)) continue;
    ConvReport report{
        .algorithm = kernel.name, .isa = name(kernel.isa), .chosen = chosen.steps[api::conv_step(chosen)].kernel == kernel.name};
    const auto candidate =
        std::find_if(own.candidates.begin(), own.candidates.end(), [&](const plan::Candidate& c) { return c.kernel == kernel.name; });
    if (candidate != own.candidates.end() && !candidate->refused.empty()) {
      report.refused = candidate->refused;
    } else {
      plan::Options asked = any;
      asked.asked_for = {{"conv", kernel.name}};
      plan::Plan plan = plan::make(graph, shapes, machine, asked);
      const std::size_t step = api::conv_step(plan);
      report.predicted_seconds = plan.steps[step].cost;
      report.workspace_bytes = plan.steps[step].workspace * pool.threads();
      auto executable = std::make_shared<const run::Executable>(race.graph, std::move(plan), packed);
      auto context = std::make_unique<run::Context>(executable, pool.threads());
      context->set_input(0, race.input.f32().data());
      contestants.push_back({reports.size(), step, std::move(context), {}, std::vector<double>(executable->plan().steps.size())});
    }
    reports.push_back(std::move(report));
  }
  if (contestants.empty()) return reports;

  const std::vector<double> expected = api::exact(work, graph, race.input.f32().data(), pool);
  ThreadPool* threads = pool.threads() > 1 && pool.try_acquire() ? &pool : nullptr;
  CacheSweep sweep(machine, threads ? pool.threads() : 1);
  const auto run_once = [&](Contestant& c) {
    sweep(threads);
    std::fill(c.all_steps.begin(), c.all_steps.end(), 0.0);
    c.context->run_timed(threads, c.all_steps);
    return c.all_steps[c.step];
  };
  for (Contestant& c : contestants) {  // the first run warms up, and tells how slow the algorithm is
    c.seconds.push_back(run_once(c));
    judge(c, expected, reports[c.report]);
  }
  const Clock::time_point begin = Clock::now();
  const double fastest = std::min_element(contestants.begin(), contestants.end(), [](const Contestant& a, const Contestant& b) {
                           return a.seconds[0] < b.seconds[0];
                         })->seconds[0];
  while (std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
    for (Contestant& c : contestants) {
      // Who is thirty times slower than the best takes a turn now and then only.
      if (c.seconds[0] > 30 * fastest && c.seconds.size() * c.seconds[0] > seconds / 10) continue;
      // A turn of several runs where they are short; the first of them has to fetch its instructions and does not count.
      const Clock::time_point turn = Clock::now();
      c.seconds.push_back(run_once(c));
      for (bool first = true; std::chrono::duration<double>(Clock::now() - turn).count() < 5e-4; first = false) {
        if (first) c.seconds.pop_back();
        c.seconds.push_back(run_once(c));
      }
    }
  }
  if (threads) pool.release();

  const Machine& here = api::measured_machine();
  for (Contestant& c : contestants) {
    if (c.seconds.size() > 1) c.seconds.erase(c.seconds.begin());
    ConvReport& report = reports[c.report];
    report.median_seconds = api::median(c.seconds);
    report.gflops = 2e-9 * static_cast<double>(work.shape.macs()) / report.median_seconds;
    report.share_of_peak = 1e9 * report.gflops / (here.flops * (threads ? pool.threads() : 1));
  }
  return reports;
}

ConvLayer layer_of(const ConvShape& s) {
  return {.input = {s.batch, s.in_channels, s.in_h, s.in_w},
          .filter = {s.out_channels, s.kernel_h, s.kernel_w},
          .stride = {s.stride_h, s.stride_w},
          .pad = {s.pad_top, s.pad_left, s.pad_bottom, s.pad_right},
          .dilation = {s.dilation_h, s.dilation_w},
          .groups = s.groups};
}

/// The node alone; nothing where it is no convolution of images in float32 with constant weights.
std::shared_ptr<const Graph> alone(const Graph& graph, const Node& node, const Tensor& input) {
  const auto* conv = std::get_if<Conv>(&node.op);
  const ValueId weight = conv ? node.input(Conv::kWeight) : ValueId{}, bias = conv ? node.input(Conv::kBias) : ValueId{};
  if (!conv || !graph.constant(weight) || input.dtype != DType::float32 || input.dims.size() != 4) return {};
  if (bias && !graph.constant(bias)) return {};
  auto layer = std::make_shared<Graph>();
  const ValueId in = layer->add_input("input", DType::float32, to_shape(input.dims));
  const Tensor weights = real_weights(graph.value(weight));
  const ValueId w = layer->add_constant("weight", weights);
  Tensor zeros = api::noise({weights.dims[0]}, 1, 0);
  const ValueId b = layer->add_constant("bias", bias ? real_weights(graph.value(bias)) : zeros);
  layer->add_output(layer->add("conv", *conv, {in, w, b}));
  verify(*layer);
  return layer;
}

}  // namespace

std::vector<ConvReport> bench_convolution(const ConvLayer& layer, const Runtime& runtime, const ConvBenchOptions& options) {
  Graph network = api::layer_graph(layer, options.seed);
  api::prune_weights(network, options.sparsity, options.seed);
  api::prune_rows(network, options.k_sparsity, 1, options.seed);
  const Race race{std::make_shared<const Graph>(std::move(network)), api::noise(Dims(layer.input.begin(), layer.input.end()), options.seed),
                  kernels_named(options.algorithms, api::machine_for().isa), api::options_on_cpu({.precision = options.precision}, 1)};
  return run_race(race, runtime.impl_->pool, options.seconds);
}

std::vector<ModelConvReport> bench_convolutions(const Model& model, std::span<const InputTensor> inputs, const Runtime& runtime,
                                                const ConvBenchOptions& options) {
  const Graph& graph = model.impl_->graph();
  const std::set<std::string> kernels = kernels_named(options.algorithms, api::machine_for().isa);
  const plan::Options plan_options = api::options_on_cpu({.precision = options.precision}, 1);
  std::vector<NodeId> nodes;
  std::vector<std::string> wanted;
  for (const NodeId id : graph.nodes()) {
    if (!graph.as<Conv>(id)) continue;
    nodes.push_back(id);
    wanted.push_back(graph.value(graph.node(id).input(Conv::kInput)).name);
  }
  const Model opened = model.with_outputs(wanted);
  Session session(opened, runtime, {.device = "cpu"});
  session.run(inputs);
  std::vector<ModelConvReport> reports;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const OutputTensor output = session.output(i);
    if (output.type != Type::float32) continue;
    MutableTensor input(DType::float32, Dims(output.shape));
    std::copy_n(static_cast<const std::byte*>(output.data), output.size_bytes, input.bytes.get());
    const Node& node = graph.node(nodes[i]);
    const std::shared_ptr<const Graph> layer = alone(graph, node, input);
    if (!layer) continue;
    const plan::Plan plan = plan::make(*layer, {{layer->inputs()[0], input.dims}}, api::machine_for());
    ModelConvReport report{node.name, layer_of(std::get<plan::ConvStep>(plan.steps[api::conv_step(plan)].work).shape),
                           run_race({layer, input, kernels, plan_options}, runtime.impl_->pool, options.seconds)};
    const auto took = [](const ConvReport& r) { return r.refused.empty(); };
    if (std::any_of(report.algorithms.begin(), report.algorithms.end(), took)) reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace konv
