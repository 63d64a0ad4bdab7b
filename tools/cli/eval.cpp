// konv eval MODEL --data DATA: accuracy.
#include <algorithm>
#include <chrono>
#include <memory>

#include <fmt/format.h>

#include "tools/cli/evaluate.h"

namespace konv::tools {

EvalReport evaluate(Session& session, const Model& model, const Dataset& data, std::size_t batch_size, std::size_t limit, bool quiet) {
  EvalReport report;
  report.images = limit > 0 ? std::min(limit, data.size()) : data.size();
  if (report.images == 0) throw Error("--data: holds no image; expected at least one");
  ImageBatch batch(model, batch_size);
  Progress progress("eval", report.images, quiet);
  for (std::size_t first = 0; first < report.images; first += batch.size()) {
    batch.clear();
    const std::size_t count = std::min(batch.capacity(), report.images - first);
    for (std::size_t i = 0; i < count; ++i) batch.add(data.load(first + i).image, data.name(first + i));
    const auto begin = std::chrono::steady_clock::now();
    session.run({batch.tensor()});
    report.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    for (std::size_t i = 0; i < count; ++i) {
      const std::vector<std::size_t> best = top_k(scores(session.output(0), i, count), 5);
      report.best.push_back(best.front());
      const auto label = static_cast<std::size_t>(data.label(first + i));
      report.correct += best.front() == label;
      report.correct5 += std::find(best.begin(), best.end(), label) != best.end();
    }
    progress.step(first + count);
  }
  return report;
}

namespace {

struct EvalCommand {
  std::string model;
  std::vector<std::string> data;
  int batch = 64;
  std::size_t limit = 0;
  RunOptions run;
  Output output;
};

void run(const EvalCommand& c) {
  const Model model = open_model(c.model, c.run, c.output, false);
  const Dataset data({c.data.begin(), c.data.end()}, model.labels());
  Session session(model, Runtime(c.run.threads), session_options(c.run));
  const EvalReport report = evaluate(session, model, data, static_cast<std::size_t>(c.batch), c.limit, c.output.quiet);
  if (c.output.json) {
    const Json json = {{"model", c.model},      {"images", report.images}, {"correct", report.correct},
                       {"top1", report.top1()}, {"top5", report.top5()},   {"seconds", report.seconds}};
    fmt::print("{}\n", json.dump(2));
    return;
  }
  fmt::print("{}: {} of {} right, top-1 {:.2f} %, top-5 {:.2f} %, {:.2f} s in the network\n", c.model, report.correct, report.images,
             100 * report.top1(), 100 * report.top5(), report.seconds);
}

}  // namespace

void add_eval(CLI::App& program) {
  const auto c = std::make_shared<EvalCommand>();
  CLI::App* app = program.add_subcommand("eval", "Measure accuracy on labelled images");
  app->add_option("MODEL", c->model, ".konv or .onnx file")->required();
  app->add_option("--data", c->data, "CIFAR-10 .bin file(s), a folder of them, or a folder of class-named subfolders of images")
      ->required();
  app->add_option("--batch", c->batch, "Images per run")->check(positive())->capture_default_str();
  app->add_option("--limit", c->limit, "Stop after N images; 0 = all");
  add_run_options(*app, c->run);
  add_output_options(*app, c->output);
  app->footer("Example: konv eval resnet20.konv --data cifar10/test --json");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
