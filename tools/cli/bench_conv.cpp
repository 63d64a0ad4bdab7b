// konv bench-conv: one convolution layer, or each of a model's, by every algorithm, side by side.
#include <memory>
#include <optional>

#include <fmt/format.h>

#include <konv/bench.hpp>

#include "tools/cli/classify.h"

namespace konv::tools {
namespace {

struct BenchConvCommand {
  std::string input, filter, model, image, stride = "1", pad = "0", dilation = "1", dtype = "float32";
  std::vector<std::string> algorithms = {"all"};
  std::int64_t groups = 1;
  int threads = 0;
  double seconds = 1, k_sparsity = 0, sparsity = 0;
  std::string device = "cpu";
  bool predict = false;
  Output output;

  /// Empty: all.
  std::vector<std::string> asked_for() const {
    return algorithms == std::vector<std::string>{"all"} ? std::vector<std::string>{} : algorithms;
  }
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
  if (c.input.empty() || c.filter.empty()) throw CLI::RequiredError("--input and --filter, or --model");
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

Json to_json(const std::vector<ConvReport>& reports) {
  Json all = Json::array();
  for (const ConvReport& r : reports) all.push_back(to_json(r));
  return all;
}

void print(const std::vector<ConvReport>& reports, bool quiet) {
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
  if (!quiet) fmt::print(stderr, "* what the planner takes\n{}", refusals);
}

void check_type(const std::string& dtype) {
  if (dtype != "float32" && dtype != "bfloat16")
    throw Error(fmt::format("--dtype {}: no convolution here computes in it; expected float32 or bfloat16", dtype));
}

void run_model(const BenchConvCommand& c) {
  check_type(c.dtype);
  if (!c.input.empty() || !c.filter.empty() || c.device != "cpu" || c.k_sparsity != 0 || c.sparsity != 0)
    throw Error("--model: has layers of its own; expected none of --input, --filter, --device, --k-sparsity and --sparsity");
  const Model model = open_model(c.model, {}, c.output, true);
  const RandomInputs noise(model, 1);
  std::vector<InputTensor> inputs = noise.tensors;
  std::optional<ImageBatch> picture;
  if (!c.image.empty()) {
    picture.emplace(model, 1);
    picture->add(decode_image(c.image), c.image);
    inputs = {picture->tensor()};
  }
  const auto layers =
      bench_convolutions(model, inputs, Runtime(c.threads), {.algorithms = c.asked_for(), .seconds = c.seconds, .precision = c.dtype});
  Json all = Json::array();
  for (const ModelConvReport& l : layers) {
    if (c.output.json) {
      all.push_back({{"name", l.name},
                     {"input", l.layer.input},
                     {"filter", l.layer.filter},
                     {"stride", l.layer.stride},
                     {"groups", l.layer.groups},
                     {"algorithms", to_json(l.algorithms)}});
    } else {
      fmt::print("{}: {}x{}x{}, {} of {}x{}\n", l.name, l.layer.input[1], l.layer.input[2], l.layer.input[3], l.layer.filter[0],
                 l.layer.filter[1], l.layer.filter[2]);
      print(l.algorithms, true);
    }
  }
  if (c.output.json) fmt::print("{}\n", all.dump(2));
}

void run(const BenchConvCommand& c) {
  if (c.threads < 0) throw Error(fmt::format("--threads {}: expected 0 (all cores) or more", c.threads));
  if (!c.model.empty()) return run_model(c);
  if (!c.image.empty()) throw Error("--image: is what a model's layers see; expected --model");
  const bool gpu = c.device != "cpu";
  const std::vector<std::string> algorithms = c.asked_for();
  if (c.predict && !gpu) throw Error("--predict: is for GPUs; expected --device cuda or a described one such as cuda:h200");
  if (gpu && c.sparsity != 0) throw Error("--sparsity: has no kernel on a GPU; expected --k-sparsity, or --device cpu");
  if (gpu && algorithms.size() > 1) throw Error("--algorithm: names several; expected all or one on a GPU");
  const std::string one = algorithms.empty() ? "" : algorithms.front();
  if (gpu && c.predict) return predict(c, layer_of(c), {c.device, c.dtype, one, c.k_sparsity});
  if (!gpu) check_type(c.dtype);
  const ConvLayer layer = layer_of(c);
  const auto reports =
      gpu ? bench_convolution_on_gpu(layer, {c.device, c.dtype, one, c.k_sparsity, c.seconds})
          : bench_convolution(
                layer, Runtime(c.threads),
                {.algorithms = algorithms, .seconds = c.seconds, .k_sparsity = c.k_sparsity, .sparsity = c.sparsity, .precision = c.dtype});
  if (c.output.json) {
    fmt::print("{}\n", to_json(reports).dump(2));
  } else {
    print(reports, c.output.quiet);
  }
}

}  // namespace

void add_bench_conv(CLI::App& program) {
  const auto c = std::make_shared<BenchConvCommand>();
  CLI::App* app = program.add_subcommand("bench-conv", "Time one convolution layer, or each of a model's, by every algorithm");
  app->add_option("--input", c->input, "N,C,H,W");
  app->add_option("--filter", c->filter, "OUT,R,S: output channels, rows, columns");
  app->add_option("--model", c->model,
                  "Instead: each float32 convolution of a .konv or .onnx file, with its own weights and inputs, batch 1");
  app->add_option("--image", c->image, "What the model sees: a PNG or JPEG file; noise without it");
  app->add_option("--stride", c->stride, "One number or DOWN,ACROSS")->capture_default_str();
  app->add_option("--pad", c->pad, "One number, DOWN,ACROSS or TOP,LEFT,BOTTOM,RIGHT")->capture_default_str();
  app->add_option("--dilation", c->dilation, "One number or DOWN,ACROSS")->capture_default_str();
  app->add_option("--groups", c->groups, "Groups of channels")->check(positive())->capture_default_str();
  app->add_option("--dtype", c->dtype, "What products may be computed in: float32 or bfloat16; on a GPU float32, tf32 or float16")
      ->capture_default_str();
  app->add_option("--device", c->device, "cpu, cuda, cuda:N; with --predict also a GPU that is not here, such as cuda:h200")
      ->capture_default_str();
  app->add_flag("--predict", c->predict, "On a GPU: what the cost model says, without running");
  app->add_option("--k-sparsity", c->k_sparsity,
                  "Share of the weight's K rows (input channel, tap) that are pruned; on a GPU 32 bytes of channels per tap at a time")
      ->capture_default_str();
  app->add_option("--sparsity", c->sparsity, "Share of the weights that are zero, wherever they are")->capture_default_str();
  app->add_option(
         "--algorithm", c->algorithms,
         "all, or names separated by commas; without its instruction set (conv_winograd4_f32) a name is the best one that this CPU has")
      ->delimiter(',')
      ->capture_default_str();
  app->add_option("--seconds", c->seconds, "Time for all algorithms together, per layer; 0: each runs once")
      ->check(not_negative())
      ->capture_default_str();
  app->add_option("--threads", c->threads, "Threads; 0 = all cores")->check(not_negative())->capture_default_str();
  add_output_options(*app, c->output);
  app->footer(
      "Examples: konv bench-conv --input 1,64,56,56 --filter 64,3,3 --pad 1 --threads 1\n"
      "          konv bench-conv --model resnet20.konv --algorithm conv_blocked_f32,conv_winograd4_f32 --seconds 0\n"
      "          konv bench-conv --input 1,512,7,7 --filter 512,1,1 --dtype bfloat16\n"
      "          konv bench-conv --input 4,64,128,128 --filter 128,3,3 --pad 1 --dtype float16 --device cuda:h200 --predict");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
