// konv bench MODEL...: how long one inference takes, and where the time goes.
#include <fstream>
#include <memory>

#include <fmt/format.h>

#include "tools/cli/measure.h"

namespace konv::tools {
namespace {

struct BenchCommand {
  std::vector<std::string> models;
  std::string trace, html;
  MeasureOptions measure;
  RunOptions run;
  Output output;
};

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush()) throw Error(path + ": cannot be written; expected a writable folder");
}

/// The last inference's steps for chrome://tracing or ui.perfetto.dev.
Json trace_events(const std::vector<LayerReport>& layers, std::size_t process) {
  Json events = Json::array();
  double at = 0;
  for (const LayerReport& layer : layers) {
    events.push_back({{"name", layer.name},
                      {"cat", layer.op},
                      {"ph", "X"},
                      {"ts", at},
                      {"dur", 1e6 * layer.seconds},
                      {"pid", process},
                      {"tid", 0},
                      {"args", {{"kernel", layer.kernel}, {"output_shape", layer.output_shape}, {"macs", layer.macs}}}});
    at += 1e6 * layer.seconds;
  }
  return events;
}

std::string layer_table(const Json& report) {
  std::vector<std::vector<std::string>> rows = {{"layer", "operator", "algorithm", "median us", "GFLOP/s", "limit us", "share"}};
  for (const Json& l : report["layers"]) {
    rows.push_back({l["name"], l["op"], l["algorithm"], fmt::format("{:.1f}", l["median_us"].get<double>()),
                    fmt::format("{:.1f}", l["gflops"].get<double>()), fmt::format("{:.1f}", l["limit_us"].get<double>()),
                    fmt::format("{:.1f} %", 100 * l["share"].get<double>())});
  }
  return table(rows);
}

std::string summary(const Json& r) {
  const Json& l = r["latency_ms"];
  return fmt::format("{}: batch {}, {} {}, {} threads{}: median {:.3f} ms, min {:.3f}, p90 {:.3f}, p99 {:.3f}, {:.1f} images/s ({} runs)\n",
                     r["model"].get<std::string>(), r["batch"].dump(), r["device"].get<std::string>(), r["isa"].get<std::string>(),
                     r["threads"].dump(), bfloat16_text(r), l["median"].get<double>(), l["min"].get<double>(), l["p90"].get<double>(),
                     l["p99"].get<double>(), r["throughput_ips"].get<double>(), r["iterations"].dump());
}

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return out;
}

void run(const BenchCommand& c) {
  MeasureOptions options = c.measure;
  options.per_layer |= !c.trace.empty();
  Json reports = Json::array(), events = Json::array();
  std::string html = "<!doctype html><meta charset=\"utf-8\"><title>konv bench</title>\n";
  for (std::size_t m = 0; m < c.models.size(); ++m) {
    Bench bench(c.models[m], c.run, c.output, options);
    bench.warm_up();
    double total = 0;
    while (options.iterations > 0 ? bench.iterations() < static_cast<std::size_t>(options.iterations)
                                  : total < options.seconds || bench.iterations() == 0)
      total += bench.run_once();
    reports.push_back(bench.report());
    for (Json& event : trace_events(bench.last_layers(), m)) events.push_back(std::move(event));
    const std::string text = summary(reports.back()) + (options.per_layer ? layer_table(reports.back()) : "");
    if (!c.output.json) fmt::print("{}", text);
    html += "<pre>" + escaped(text) + "</pre>\n";
  }
  if (!c.trace.empty()) write_text(c.trace, Json{{"traceEvents", events}}.dump());
  if (!c.html.empty()) write_text(c.html, html);
  if (c.output.json) {
    for (const Json& report : reports) fmt::print("{}\n", report.dump(2));
  }
}

}  // namespace

void add_bench(CLI::App& program) {
  const auto c = std::make_shared<BenchCommand>();
  CLI::App* app = program.add_subcommand("bench", "Time inference on random inputs");
  app->add_option("MODEL", c->models, ".konv or .onnx files")->required();
  app->add_option("--batch", c->measure.batch, "Images per inference")->check(positive())->capture_default_str();
  app->add_option("--iterations", c->measure.iterations, "Inferences to time; 0 = as --seconds says")->check(not_negative());
  app->add_option("--seconds", c->measure.seconds, "Time for each model")->check(positive())->capture_default_str();
  app->add_option("--warmup", c->measure.warmup, "Inferences before timing")->check(not_negative())->capture_default_str();
  app->add_flag("--per-layer", c->measure.per_layer, "Time every layer");
  app->add_option("--trace", c->trace, "Write a Chrome trace of one inference");
  app->add_option("--report", c->html, "Write the figures as an HTML page");
  add_run_options(*app, c->run);
  add_output_options(*app, c->output);
  app->footer("Example: konv bench resnet20.konv --batch 64 --threads 1 --per-layer");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
