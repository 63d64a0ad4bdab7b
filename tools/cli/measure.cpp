#include "tools/cli/measure.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace konv::tools {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (values[high] - values[low]) * (at - static_cast<double>(low));
}

Bench::Bench(std::string path, const RunOptions& run, const Output& output, const MeasureOptions& options)
    : path_(std::move(path)), precision_(run.precision), options_(options) {
  const Clock::time_point begin = Clock::now();
  model_.emplace(open_model(path_, run, output, true));
  SessionOptions session = session_options(run);
  session.profile = options.per_layer;
  session_.emplace(*model_, Runtime(run.threads), session);
  load_seconds_ = since(begin);
  inputs_ = std::make_unique<RandomInputs>(*model_, options.batch);
  const Clock::time_point first = Clock::now();
  session_->run(inputs_->tensors);
  first_seconds_ = since(first);
}

void Bench::warm_up() {
  for (int i = 0; i < options_.warmup; ++i) session_->run(inputs_->tensors);
}

double Bench::run_once() {
  const Clock::time_point begin = Clock::now();
  session_->run(inputs_->tensors);
  const double seconds = since(begin);
  seconds_.push_back(seconds);
  if (options_.per_layer) {
    last_layers_ = session_->layers();
    layer_seconds_.resize(last_layers_.size());
    for (std::size_t i = 0; i < last_layers_.size(); ++i) layer_seconds_[i].push_back(last_layers_[i].seconds);
  }
  return seconds;
}

double Bench::median_seconds() const { return quantile(seconds_, 0.5); }

Json Bench::report() const {
  const auto ms = [&](double q) { return 1e3 * quantile(seconds_, q); };
  const double mean = std::accumulate(seconds_.begin(), seconds_.end(), 0.0) / static_cast<double>(seconds_.size());
  const MemoryReport memory = session_->memory();
  double limit = 0;
  std::size_t bfloat16_layers = 0;
  for (const LayerReport& layer : session_->layers()) {
    limit += layer.limit_seconds;
    bfloat16_layers += layer.precision.starts_with("bfloat16");
  }
  Json out = {
      {"model", path_},
      {"device", session_->device()},
      {"isa", session_->isa()},
      {"threads", session_->threads()},
      {"precision", precision_},
      {"bfloat16_layers", bfloat16_layers},
      {"batch", options_.batch},
      {"iterations", seconds_.size()},
      {"latency_ms",
       {{"min", ms(0)}, {"mean", 1e3 * mean}, {"median", ms(0.5)}, {"p90", ms(0.9)}, {"p95", ms(0.95)}, {"p99", ms(0.99)}, {"max", ms(1)}}},
      {"throughput_ips", static_cast<double>(options_.batch) / quantile(seconds_, 0.5)},
      {"limit_ms", 1e3 * limit},
      {"load_ms", 1e3 * load_seconds_},
      {"first_inference_ms", 1e3 * first_seconds_},
      {"memory", {{"weights_bytes", memory.weights_bytes}, {"arena_bytes", memory.arena_bytes}, {"peak_rss_bytes", peak_rss_bytes()}}}};
  if (!options_.per_layer) return out;
  out["layers"] = Json::array();
  double total = 0;
  for (const std::vector<double>& layer : layer_seconds_) total += quantile(layer, 0.5);
  for (std::size_t i = 0; i < last_layers_.size(); ++i) {
    const LayerReport& layer = last_layers_[i];
    const double median = quantile(layer_seconds_[i], 0.5);
    out["layers"].push_back({{"name", layer.name},
                             {"op", layer.op},
                             {"algorithm", layer.kernel},
                             {"dtype", layer.type},
                             {"precision", layer.precision},
                             {"output_shape", layer.output_shape},
                             {"median_us", 1e6 * median},
                             {"gflops", median > 0 ? 2e-9 * static_cast<double>(layer.macs) / median : 0.0},
                             {"limit_us", 1e6 * layer.limit_seconds},
                             {"share", median / total}});
  }
  return out;
}

std::string bfloat16_text(const Json& report) {
  const auto layers = report["bfloat16_layers"].get<std::size_t>();
  if (layers == 0 && report["precision"] != "bfloat16") return {};
  return fmt::format(", bfloat16 in {} {}", layers, layers == 1 ? "layer" : "layers");
}

}  // namespace konv::tools
