// konv compare A B: outputs and latency of two models, A the reference.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>

#include <fmt/format.h>

#include "tools/cli/evaluate.h"
#include "tools/cli/measure.h"

namespace konv::tools {
namespace {

struct CompareCommand {
  std::string a, b;
  std::vector<std::string> data;
  bool per_layer = false;
  MeasureOptions measure;
  RunOptions run;
  Output output;
};

/// Open a model for comparison: an ONNX file runs as found when values are compared one by one.
RunOptions options_for(const CompareCommand& c) {
  RunOptions options = c.run;
  if (c.per_layer && options.passes.empty()) options.passes = "none";
  return options;
}

struct OutputDifference {
  double absolute = 0, relative = 0;
};

OutputDifference output_difference(Bench& a, Bench& b) {
  OutputDifference d;
  if (a.session().output_count() != b.session().output_count()) {
    throw Error(
        fmt::format("the models have {} and {} outputs; expected equal numbers", a.session().output_count(), b.session().output_count()));
  }
  for (std::size_t i = 0; i < a.session().output_count(); ++i) {
    const OutputTensor x = a.session().output(i), y = b.session().output(i);
    if (x.type != Type::float32 || y.type != Type::float32) continue;
    d.absolute = std::max(d.absolute, max_abs_difference(y.values<float>(), x.values<float>()));
    const double relative = difference(y.values<float>(), x.values<float>());
    if (!(relative <= d.relative)) d.relative = relative;
  }
  return d;
}

std::vector<std::string> value_names(const Model& model) {
  std::vector<std::string> names;
  const Json description = Json::parse(model.describe());  // in a range-for it would not live long enough
  for (const Json& node : description["nodes"]) {
    for (const Json& output : node["outputs"]) names.push_back(output);
  }
  return names;
}

double signal_to_noise_db(std::span<const float> x, std::span<const float> reference) {
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto wanted = static_cast<double>(reference[i]), error = static_cast<double>(x[i]) - wanted;
    signal += wanted * wanted, noise += error * error;
  }
  return 10 * std::log10(std::max(signal, 1e-30) / std::max(noise, 1e-30));
}

constexpr std::size_t kImages = 32;  // of --data that values are compared on

/// Every value that both models still have, in A's order; on images where there are any, else on noise.
Json compare_values(const CompareCommand& c, const Model& a, const Model& b, const Dataset* data) {
  const std::vector<std::string> in_b = value_names(b);
  const std::set<std::string> known(in_b.begin(), in_b.end());
  std::vector<std::string> shared;
  for (const std::string& name : value_names(a)) {
    if (known.count(name)) shared.push_back(name);
  }
  Json layers = Json::array();
  if (shared.empty()) return layers;
  const RandomInputs noise(a, c.measure.batch);
  std::vector<InputTensor> inputs = noise.tensors;
  std::optional<ImageBatch> images;
  if (data) {
    images.emplace(a, std::min(kImages, data->size()));
    for (std::size_t i = 0; i < images->capacity(); ++i) images->add(data->load(i).image, data->name(i));
    inputs = {images->tensor()};
  }
  const Model all_a = a.with_outputs(shared), all_b = b.with_outputs(shared);
  const Runtime runtime(c.run.threads);
  Session run_a(all_a, runtime, session_options(c.run)), run_b(all_b, runtime, session_options(c.run));
  run_a.run(inputs);
  run_b.run(inputs);
  for (std::size_t i = 0; i < shared.size(); ++i) {
    const OutputTensor x = run_a.output(i), y = run_b.output(i);
    if (x.type != Type::float32 || y.type != Type::float32 || x.shape != y.shape) continue;
    layers.push_back({{"value", shared[i]},
                      {"shape", x.shape},
                      {"max_abs_diff", max_abs_difference(y.values<float>(), x.values<float>())},
                      {"max_rel_diff", difference(y.values<float>(), x.values<float>())},
                      {"signal_to_noise_db", signal_to_noise_db(y.values<float>(), x.values<float>())}});
  }
  return layers;
}

void print(const Json& r, bool per_layer) {
  for (const char* side : {"a", "b"}) {
    fmt::print("{}: {}  {:.3f} MB, median {:.3f} ms{}{}\n", side, r[side]["model"].get<std::string>(),
               r[side]["file_bytes"].get<double>() / 1e6, r[side]["latency_ms"]["median"].get<double>(), bfloat16_text(r[side]),
               r[std::string("top1_") + side].is_null()
                   ? ""
                   : fmt::format(", top-1 {:.2f} %", 100 * r[std::string("top1_") + side].get<double>()));
  }
  fmt::print("speedup of b: {:.2f}\noutput difference: {:.3g} absolute, {:.3g} relative\n", r["speedup"].get<double>(),
             r["max_abs_diff"].get<double>(), r["max_rel_diff"].get<double>());
  if (!r["agreement"].is_null()) fmt::print("same class: {:.2f} % of the images\n", 100 * r["agreement"].get<double>());
  if (!per_layer) return;
  std::vector<std::vector<std::string>> rows = {{"value", "absolute", "relative", "signal to noise, dB"}};
  for (const Json& l : r["layers"])
    rows.push_back({l["value"], fmt::format("{:.3g}", l["max_abs_diff"].get<double>()),
                    fmt::format("{:.3g}", l["max_rel_diff"].get<double>()), fmt::format("{:.1f}", l["signal_to_noise_db"].get<double>())});
  fmt::print("{}", table(rows));
  if (r["first_difference"].is_null()) {
    fmt::print("no value differs by more than 1e-4\n");
  } else {
    fmt::print("first value that differs by more than 1e-4: {}\n", r["first_difference"].get<std::string>());
  }
}

void run(const CompareCommand& c) {
  const RunOptions options = options_for(c);
  Bench a(c.a, options, c.output, c.measure), b(c.b, options, c.output, c.measure);
  const OutputDifference d = output_difference(a, b);
  a.warm_up();
  b.warm_up();
  double total = 0;
  while (c.measure.iterations > 0 ? a.iterations() < static_cast<std::size_t>(c.measure.iterations)
                                  : total < c.measure.seconds || a.iterations() == 0) {
    total += a.run_once();
    total += b.run_once();
  }
  Json out = {{"a", a.report()},
              {"b", b.report()},
              {"speedup", a.median_seconds() / b.median_seconds()},
              {"max_abs_diff", d.absolute},
              {"max_rel_diff", d.relative},
              {"top1_a", nullptr},
              {"top1_b", nullptr},
              {"agreement", nullptr}};
  out["a"]["file_bytes"] = std::filesystem::file_size(c.a);
  out["b"]["file_bytes"] = std::filesystem::file_size(c.b);
  std::optional<Dataset> data;
  if (!c.data.empty()) {
    data.emplace(std::vector<std::filesystem::path>(c.data.begin(), c.data.end()), a.model().labels());
    const Dataset data_b({c.data.begin(), c.data.end()}, b.model().labels());
    const EvalReport of_a = evaluate(a.session(), a.model(), *data, 64, 0, c.output.quiet),
                     of_b = evaluate(b.session(), b.model(), data_b, 64, 0, c.output.quiet);
    out["top1_a"] = of_a.top1();
    out["top1_b"] = of_b.top1();
    if (a.model().labels() == b.model().labels()) {
      std::size_t same = 0;
      for (std::size_t i = 0; i < of_a.images; ++i) same += of_a.best[i] == of_b.best[i];
      out["agreement"] = static_cast<double>(same) / static_cast<double>(of_a.images);
    }
  }
  if (c.per_layer) {
    out["layers"] = compare_values(c, a.model(), b.model(), data ? &*data : nullptr);
    out["first_difference"] = nullptr;
    for (const Json& layer : out["layers"]) {
      if (!(layer["max_rel_diff"].get<double>() <= 1e-4)) {
        out["first_difference"] = layer["value"];
        break;
      }
    }
  }
  if (c.output.json) {
    fmt::print("{}\n", out.dump(2));
  } else {
    print(out, c.per_layer);
  }
}

}  // namespace

void add_compare(CLI::App& program) {
  const auto c = std::make_shared<CompareCommand>();
  CLI::App* app = program.add_subcommand("compare", "Compare two models: latency in turn, outputs, accuracy; A is the reference");
  app->add_option("A", c->a, ".konv or .onnx file")->required();
  app->add_option("B", c->b, ".konv or .onnx file")->required();
  app->add_option("--data", c->data, "Labelled images: accuracy of both");
  app->add_option("--batch", c->measure.batch, "Images per inference")->check(positive())->capture_default_str();
  app->add_option("--iterations", c->measure.iterations, "Inferences of each; 0 = as --seconds says")->check(not_negative());
  app->add_option("--seconds", c->measure.seconds, "Time for both together")->check(positive())->capture_default_str();
  app->add_flag("--per-layer", c->per_layer, "Compare value by value where both have it, ONNX files as found");
  add_run_options(*app, c->run);
  add_output_options(*app, c->output);
  app->footer("Example: konv compare unfused.konv fused.konv --batch 64");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
