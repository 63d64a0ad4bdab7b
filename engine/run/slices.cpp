#include "engine/run/slices.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/graph/images.h"

namespace konv::run {
namespace {

/// One run. Costs of steps know nothing of one another: where an arena outgrows the cache, what a step writes is read from further away by the next.
double seconds(const plan::Plan& plan, const Machine& machine) {
  double sum = 0, bytes = 0;
  for (const plan::Step& step : plan.steps) {
    sum += step.cost;
    bytes += 2.0 * static_cast<double>(plan.values[static_cast<std::size_t>(step.output)].bytes);
  }
  if (4 * plan.arena_bytes <= 5 * machine.l2_bytes) return sum;  // few layers fill an arena
  return sum + bytes / (plan.arena_bytes <= machine.l3_bytes / 2 ? machine.l3_bandwidth : machine.dram_bandwidth);
}

/// Bytes of one image in a tensor of `images`.
std::int64_t image_bytes(const plan::Value& value, std::int64_t images) {
  return storage_bytes(value.layout.dtype, element_count(value.dims)) / images;
}

}  // namespace

std::int64_t best_slice(const Network& network, const std::vector<Dims>& input_shapes, const Machine& machine,
                        const plan::Options& options) {
  const Graph& graph = network.graph();
  const std::int64_t images = input_shapes.empty() || input_shapes[0].empty() ? 0 : input_shapes[0][0];
  if (images < 2 || !network.has_independent_images()) return std::max<std::int64_t>(1, images);
  const auto plan_for = [&](std::int64_t n) {
    std::vector<Dims> shapes = input_shapes;
    for (Dims& dims : shapes) dims[0] = n;
    plan::Options unlimited = options;
    unlimited.memory_limit = 0;
    return plan::make(graph, by_value(graph, shapes), machine, unlimited);
  };
  const auto fits = [&](const plan::Plan& plan, std::int64_t n) {
    return options.memory_limit == 0 ||
           plan::held_bytes(plan, arenas_for(images, n, options.threads), options.threads) <= options.memory_limit;
  };
  const plan::Plan whole = plan_for(images);
  const bool whole_fits = fits(whole, images);
  if (whole_fits && whole.arena_bytes <= machine.l2_bytes / 2) return images;
  std::int64_t best = whole_fits ? images : 1;
  double least = whole_fits ? seconds(whole, machine) : std::numeric_limits<double>::infinity();
  for (std::int64_t n = images; n > 1;) {
    n = (n + 1) / 2;
    const plan::Plan plan = plan_for(n);
    if (!fits(plan, n)) continue;
    const double time = seconds(plan, machine) * static_cast<double>((images + n - 1) / n);
    if (time < least) best = n, least = time;
  }
  return best;
}

std::int64_t arenas_for(std::int64_t images, std::int64_t slice, std::int64_t threads) {
  return slice < images && (images + slice - 1) / slice >= threads ? threads : 1;
}

SlicedContext::SlicedContext(std::shared_ptr<const Executable> slice, std::int64_t images, int threads) : images_(images) {
  const plan::Plan& plan = slice->plan();
  slice_ = plan.values[static_cast<std::size_t>(plan.inputs[0])].dims[0];
  slices_ = (images + slice_ - 1) / slice_;
  const std::int64_t arenas = arenas_for(images, slice_, threads);
  for (std::int64_t i = 0; i < arenas; ++i) contexts_.push_back(std::make_unique<Context>(slice, arenas > 1 ? 1 : threads));
  for (int v : plan.inputs) input_stride_.push_back(image_bytes(plan.values[static_cast<std::size_t>(v)], slice_));
  inputs_.resize(plan.inputs.size());
  for (int v : plan.outputs) {
    output_stride_.push_back(image_bytes(plan.values[static_cast<std::size_t>(v)], slice_));
    outputs_.emplace_back(static_cast<std::size_t>(output_stride_.back() * images));
    spare_.resize(std::max(spare_.size(), static_cast<std::size_t>(output_stride_.back() * slice_)));
  }
  seconds_.assign(contexts_.size(), std::vector<double>(plan.steps.size()));
}

void SlicedContext::get_output(std::size_t index, void* bytes) const { std::memcpy(bytes, outputs_[index].data(), outputs_[index].size()); }

template <class Run>
void SlicedContext::each_slice(ThreadPool* pool, const Run& run) {
  ThreadPool* const inside = contexts_.size() > 1 ? nullptr : pool;
  const auto slice = [&](std::int64_t i, int thread) {
    Context& context = *contexts_[static_cast<std::size_t>(thread)];
    const std::int64_t first = std::min(i * slice_, images_ - slice_);
    for (std::size_t k = 0; k < inputs_.size(); ++k) context.set_input(k, inputs_[k] + first * input_stride_[k]);
    run(context, static_cast<std::size_t>(thread), inside);
    const std::int64_t again =
        i * slice_ - first;  // images that the slice before computes too, with the same result; of the last slice only
    for (std::size_t k = 0; k < outputs_.size(); ++k) {
      std::byte* to = outputs_[k].data() + first * output_stride_[k];
      context.get_output(k, again ? spare_.data() : to);
      const auto skip = static_cast<std::size_t>(again * output_stride_[k]);
      if (again) std::memcpy(to + skip, spare_.data() + skip, static_cast<std::size_t>(slice_ * output_stride_[k]) - skip);
    }
  };
  if (pool && !inside) {
    pool->run(slices_, slice);
  } else {
    for (std::int64_t i = 0; i < slices_; ++i) slice(i, 0);
  }
}

void SlicedContext::run(ThreadPool* pool) {
  each_slice(pool, [](Context& context, std::size_t, ThreadPool* inside) { context.run(inside); });
}

void SlicedContext::run_timed(ThreadPool* pool, std::span<double> total) {
  for (std::vector<double>& of_thread : seconds_) std::fill(of_thread.begin(), of_thread.end(), 0.0);
  each_slice(pool, [&](Context& context, std::size_t thread, ThreadPool* inside) { context.run_timed(inside, seconds_[thread]); });
  const double at_work = pool ? static_cast<double>(contexts_.size()) : 1;
  for (const std::vector<double>& of_thread : seconds_) {
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += of_thread[i] / at_work;
  }
}

}  // namespace konv::run
