#include "engine/run/tune.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "engine/run/context.h"

namespace konv::run {
namespace {

using Kernels = std::map<std::string, std::string>;

/// Convolutions of real numbers and of integers: what is tuned.
bool is_convolution(const plan::Work& work) {
  return std::holds_alternative<plan::ConvStep>(work) || std::holds_alternative<plan::IntegerConvStep>(work);
}

/// One plan of the network, ready to run on noise.
struct Variant {
  std::unique_ptr<Context> context;
  std::vector<double> steps;              // of the last run
  std::map<std::string, double> seconds;  // by convolution, the least so far, the reorders it asks for included
  std::vector<double> totals;

  const plan::Plan& plan() const { return context->executable().plan(); }
};

void fill(Context& context, const Graph& graph) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
    const plan::Plan& plan = context.executable().plan();
    const plan::Value& value = plan.values[static_cast<std::size_t>(plan.inputs[i])];
    MutableTensor tensor(value.layout.dtype, value.dims);
    if (value.layout.dtype == DType::float32) {
      for (float& x : tensor.f32()) x = uniform(random);
    }
    context.set_input(i, tensor.bytes.get());
  }
}

/// Every step's time belongs to the convolution that it covers, or that reads what it prepares.
std::map<std::string, double> by_convolution(const plan::Plan& plan, const std::vector<double>& steps) {
  std::map<std::string, double> seconds;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const plan::Step* owner = &plan.steps[i];
    for (std::size_t j = i + 1; owner->nodes.empty() && j < plan.steps.size(); ++j) {
      const std::vector<int>& inputs = plan.steps[j].inputs;
      if (std::find(inputs.begin(), inputs.end(), plan.steps[i].output) != inputs.end()) owner = &plan.steps[j];
    }
    if (is_convolution(owner->work)) seconds[owner->name] += steps[i];
  }
  return seconds;
}

void run_once(Variant& v, ThreadPool* pool) {
  using Clock = std::chrono::steady_clock;
  std::fill(v.steps.begin(), v.steps.end(), 0.0);
  const Clock::time_point begin = Clock::now();
  v.context->run_timed(pool, v.steps);
  v.totals.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  for (const auto& [name, seconds] : by_convolution(v.plan(), v.steps)) {
    const auto [entry, fresh] = v.seconds.try_emplace(name, seconds);
    if (!fresh) entry->second = std::min(entry->second, seconds);
  }
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Kernels kernels_of(const plan::Plan& plan) {
  Kernels kernels;
  for (const plan::Step& step : plan.steps) {
    if (is_convolution(step.work)) kernels[step.name] = step.kernel;
  }
  return kernels;
}

}  // namespace

Tuned tune(const std::shared_ptr<const Graph>& graph, const std::map<ValueId, Dims>& input_shapes, const Machine& machine,
           const plan::Options& options, ThreadPool* pool, const TuneOptions& tune) {
  PackedWeights packed;
  const auto variant = [&](const Kernels& kernels) {
    plan::Options asked = options;
    asked.asked_for = kernels;
    asked.pipelines = false;  // which would hide what each convolution takes
    auto executable = std::make_shared<const Executable>(graph, plan::make(*graph, input_shapes, machine, asked), packed);
    Variant v{
        std::make_unique<Context>(executable, pool ? pool->threads() : 1), std::vector<double>(executable->plan().steps.size()), {}, {}};
    fill(*v.context, *graph);
    return v;
  };

  // What is tried for each convolution: its own kernel first, then the others by what they are predicted to cost.
  std::vector<Variant> variants;
  variants.push_back(variant({}));
  const Kernels own = kernels_of(variants[0].plan());
  std::map<std::string, std::vector<std::string>> tries;
  std::size_t most = 1;
  for (const plan::Step& step : variants[0].plan().steps) {
    if (!is_convolution(step.work)) continue;
    std::vector<plan::Candidate> others = step.candidates;
    std::erase_if(others, [&](const plan::Candidate& c) { return !c.refused.empty() || c.cost > tune.within * step.cost; });
    std::stable_sort(others.begin(), others.end(), [](const plan::Candidate& a, const plan::Candidate& b) { return a.cost < b.cost; });
    std::vector<std::string>& names = tries[step.name];
    names.push_back(step.kernel);
    for (const plan::Candidate& c : others) names.push_back(c.kernel);
    most = std::max(most, names.size());
  }
  for (std::size_t i = 1; i < most; ++i) {
    Kernels kernels;
    for (const auto& [node, names] : tries) kernels[node] = names[std::min(i, names.size() - 1)];
    variants.push_back(variant(kernels));
  }
  for (int round = 0; round < tune.rounds; ++round) {
    for (Variant& v : variants) run_once(v, pool);
  }

  Tuned tuned;
  for (const auto& [node, kernel] : own) {
    double best = std::numeric_limits<double>::infinity();
    for (const Variant& v : variants) {
      const double seconds = v.seconds.at(node);
      if (seconds < best) best = seconds, tuned.kernels[node] = kernels_of(v.plan()).at(node);
    }
  }

  // Layouts meet differently once every layer has its own best: the whole decides.
  Variant whole = variant(tuned.kernels);
  variants.resize(1);
  variants[0].totals.clear();
  for (int round = 0; round < 2 * tune.rounds; ++round) {
    run_once(variants[0], pool);
    run_once(whole, pool);
  }
  tuned.default_seconds = median(variants[0].totals);
  tuned.seconds = median(whole.totals);
  if (tuned.seconds >= tuned.default_seconds) {
    tuned.kernels = own;
    tuned.seconds = tuned.default_seconds;
  }
  return tuned;
}

}  // namespace konv::run
