// konv bench-conv: one convolution layer by every algorithm, side by side.
#include <memory>

#include <fmt/format.h>

#include <konv/bench.hpp>

#include "tools/cli/common.h"

namespace konv::tools {
namespace {

struct BenchConvCommand {
  std::string input, filter, stride = "1", pad = "0", dilation = "1", dtype = "float32", algorithm = "all";
  std::int64_t groups = 1;
  int threads = 0;
  double seconds = 1, k_sparsity = 0, sparsity = 0;
  std::string device = "cpu";
  bool predict = false;
  Output output;
};

/// As many sizes as `allowed` says, each at least `least`.
std::vector<std::int64_t> sizes(const std::string& option, const std::string& text, const std::vector<std::size_t>& allowed,
                                std::int64_t least, const char* form) {
  const std::vector<std::int64_t> values = parse_sizes(option, text);
  bool good = std::find(allowed.begin(), allowed.end(), values.size()) != allowed.end();
  for (std::int64_t v : values) good &= v >= least;
  if (!good) throw Error(fmt::format("{} {}: expected {}, each at least {}", option, text, form, least));
  return values;
}

ConvLayer layer_of(const BenchConvCommand& c) {
  ConvLayer layer;
  const auto input = sizes("--input", c.input, {4}, 1, "N,C,H,W"), filter = sizes("--filter", c.filter, {3}, 1, "OUT,R,S");
  const auto stride = sizes("--stride", c.stride, {1, 2}, 1, "one number or DOWN,ACROSS");
  const auto dilation = sizes("--dilation", c.dilation, {1, 2}, 1, "one number or DOWN,ACROSS");
  const auto pad = sizes("--pad", c.pad, {1, 2, 4}, 0, "one number, DOWN,ACROSS or TOP,LEFT,BOTTOM,RIGHT");
  std::copy(input.begin(), input.end(), layer.input.begin());
  std::copy(filter.begin(), filter.end(), layer.filter.begin());
  layer.stride = {stride.front(), stride.back()};
  layer.dilation = {dilation.front(), dilation.back()};
  if (pad.size() == 4) {
    std::copy(pad.begin(), pad.end(), layer.pad.begin());
  } else {
    layer.pad = {pad.front(), pad.back(), pad.front(), pad.back()};
  }
  layer.groups = c.groups;
  return layer;
}

Json to_json(const ConvReport& r) {
  return {{"algorithm", r.algorithm},
          {"isa", r.isa},
          {"median_us", r.refused.empty() ? Json(1e6 * r.median_seconds) : Json()},
          {"gflops", r.refused.empty() ? Json(r.gflops) : Json()},
          {"max_rel_error", r.refused.empty() ? Json(r.max_rel_error) : Json()},
          {"mse", r.refused.empty() ? Json(r.mse) : Json()},
          {"workspace_bytes", r.workspace_bytes},
          {"share_of_peak", r.refused.empty() ? Json(r.share_of_peak) : Json()},
          {"predicted_us", 1e6 * r.predicted_seconds},
          {"chosen", r.chosen},
          {"refused", r.refused.empty() ? Json() : Json(r.refused)}};
}

Json to_json(const ConvPrediction& p) {
  if (!p.refused.empty()) return {{"algorithm", p.algorithm}, {"refused", p.refused}};
  return {{"algorithm", p.algorithm},
          {"predicted_us", 1e6 * p.predicted_seconds},
          {"roofline_us", 1e6 * p.roofline_seconds},
          {"blocks", p.blocks},
          {"blocks_per_multiprocessor", p.blocks_per_multiprocessor},
          {"mma", p.mma},
          {"sectors", p.sectors},
          {"dram_bytes", p.dram_bytes},
          {"bank_conflicts", p.bank_conflicts},
          {"workspace_bytes", p.workspace_bytes},
          {"chosen", p.chosen},
          {"refused", Json()}};
}

void predict(const BenchConvCommand& c, const ConvLayer& layer, const GpuBenchOptions& options) {
  const auto predictions = predict_convolution(layer, options);
  if (c.output.json) {
    Json all = Json::array();
    for (const ConvPrediction& p : predictions) all.push_back(to_json(p));
    fmt::print("{}\n", all.dump(2));
    return;
  }
  std::vector<std::vector<std::string>> rows = {
      {"algorithm", "predicted us", "roofline us", "blocks", "per SM", "mma", "sectors", "DRAM bytes"}};
  std::string refusals;
  for (const ConvPrediction& p : predictions) {
    if (!p.refused.empty()) {
      refusals += fmt::format("{}: {}\n", p.algorithm, p.refused);
      continue;
    }
    rows.push_back({p.algorithm + (p.chosen ? " *" : ""), fmt::format("{:.1f}", 1e6 * p.predicted_seconds),
                    fmt::format("{:.1f}", 1e6 * p.roofline_seconds), fmt::format("{}", p.blocks),
                    fmt::format("{}", p.blocks_per_multiprocessor), fmt::format("{}", p.mma), fmt::format("{}", p.sectors),
                    fmt::format("{}", p.dram_bytes)});
  }
  fmt::print("{}", table(rows));
  if (!c.output.quiet) fmt::print(stderr, "* what the planner takes; predictions by the cost model, not measured\n{}", refusals);
}

void run(const BenchConvCommand& c) {
  const bool gpu = c.device != "cpu";
  if (c.predict && !gpu) throw Error("--predict: is for GPUs; expected --device cuda or a described one such as cuda:h200");
  if (gpu && c.sparsity != 0) throw Error("--sparsity: has no kernel on a GPU; expected --k-sparsity, or --device cpu");
  if (gpu && c.predict) {
    const GpuBenchOptions options{c.device, c.dtype, c.algorithm == "all" ? "" : c.algorithm, c.k_sparsity};
    return predict(c, layer_of(c), options);
  }
  if (!gpu && c.dtype != "float32") throw Error(fmt::format("--dtype {}: no convolution here computes in it; expected float32", c.dtype));
  if (c.threads < 0) throw Error(fmt::format("--threads {}: expected 0 (all cores) or more", c.threads));
  const ConvLayer layer = layer_of(c);
  const std::string algorithm = c.algorithm == "all" ? "" : c.algorithm;
  const auto reports =
      gpu ? bench_convolution_on_gpu(layer, {c.device, c.dtype, algorithm, c.k_sparsity, c.seconds})
          : bench_convolution(layer, Runtime(c.threads),
                              {.algorithm = algorithm, .seconds = c.seconds, .k_sparsity = c.k_sparsity, .sparsity = c.sparsity});
  if (c.output.json) {
    Json all = Json::array();
    for (const ConvReport& r : reports) all.push_back(to_json(r));
    fmt::print("{}\n", all.dump(2));
    return;
  }
  std::vector<std::vector<std::string>> rows = {{"algorithm", "median us", "predicted", "GFLOP/s", "of peak", "error", "MSE", "workspace"}};
  std::string refusals;
  for (const ConvReport& r : reports) {
    if (!r.refused.empty()) {
      refusals += fmt::format("{}: {}\n", r.algorithm, r.refused);
      continue;
    }
    rows.push_back({r.algorithm + (r.chosen ? " *" : ""), fmt::format("{:.1f}", 1e6 * r.median_seconds),
                    fmt::format("{:.1f}", 1e6 * r.predicted_seconds), fmt::format("{:.1f}", r.gflops),
                    fmt::format("{:.0f} %", 100 * r.share_of_peak), fmt::format("{:.1e}", r.max_rel_error), fmt::format("{:.1e}", r.mse),
                    fmt::format("{}", r.workspace_bytes)});
  }
  fmt::print("{}", table(rows));
  if (!c.output.quiet) fmt::print(stderr, "* what the planner takes\n{}", refusals);
}

}  // namespace

void add_bench_conv(CLI::App& program) {
  const auto c = std::make_shared<BenchConvCommand>();
  CLI::App* app = program.add_subcommand("bench-conv", "Time one convolution layer by every algorithm");
  app->add_option("--input", c->input, "N,C,H,W")->required();
  app->add_option("--filter", c->filter, "OUT,R,S: output channels, rows, columns")->required();
  app->add_option("--stride", c->stride, "One number or DOWN,ACROSS")->capture_default_str();
  app->add_option("--pad", c->pad, "One number, DOWN,ACROSS or TOP,LEFT,BOTTOM,RIGHT")->capture_default_str();
  app->add_option("--dilation", c->dilation, "One number or DOWN,ACROSS")->capture_default_str();
  app->add_option("--groups", c->groups, "Groups of channels")->check(CLI::PositiveNumber)->capture_default_str();
  app->add_option("--dtype", c->dtype, "Element type; on a GPU float32, tf32 or float16")->capture_default_str();
  app->add_option("--device", c->device, "cpu, cuda, cuda:N; with --predict also a GPU that is not here, such as cuda:h200")
      ->capture_default_str();
  app->add_flag("--predict", c->predict, "On a GPU: what the cost model says, without running");
  app->add_option("--k-sparsity", c->k_sparsity,
                  "Share of the weight's K rows (input channel, tap) that are pruned; on a GPU 32 bytes of channels per tap at a time")
      ->capture_default_str();
  app->add_option("--sparsity", c->sparsity, "Share of the weights that are zero, wherever they are")->capture_default_str();
  app->add_option("--algorithm", c->algorithm, "all, or the name of one")->capture_default_str();
  app->add_option("--seconds", c->seconds, "Time for all algorithms together")->check(CLI::PositiveNumber)->capture_default_str();
  app->add_option("--threads", c->threads, "Threads; 0 = all cores")->check(CLI::NonNegativeNumber)->capture_default_str();
  add_output_options(*app, c->output);
  app->footer(
      "Examples: konv bench-conv --input 1,64,56,56 --filter 64,3,3 --pad 1 --threads 1\n"
      "          konv bench-conv --input 4,64,128,128 --filter 128,3,3 --pad 1 --dtype float16 --device cuda:h200 --predict");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
