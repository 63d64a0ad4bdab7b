// konv prune IN.konv -o OUT.konv: convolutions that read fewer rows.
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "tools/cli/calibrate.h"

namespace konv::tools {
namespace {

struct PruneCommand {
  std::string in, out, report, reference;
  PruneOptions options;
  CalibrationOptions calibration;
  int threads = 0;
  Output output;
};

void run(PruneCommand& c) {
  const Model model = Model::load(c.in);
  std::optional<Model> reference;
  if (!c.reference.empty()) c.options.reference = &reference.emplace(Model::load(c.reference));
  const Calibration calibration(model, c.calibration);
  c.options.notes = calibration.notes();
  c.options.notes["prune"] = fmt::format("kind {}, sparsity {}, granularity {}", c.options.kind, c.options.sparsity, c.options.granularity);
  std::unique_ptr<Progress> progress;
  c.options.progress = [&](std::size_t done, std::size_t total) {
    if (!progress) progress = std::make_unique<Progress>("prune", total, c.output.quiet);
    progress->step(done);
  };
  std::string report;
  const Model pruned = model.prune(calibration.images(), c.options, Runtime(c.threads), &report);
  progress.reset();
  pruned.save(c.out);
  if (!c.report.empty()) write_report(c.report, report);
  if (!c.output.quiet) fmt::print(stderr, "{}\n", sizes_line(c.in, c.out));
}

}  // namespace

void add_prune(CLI::App& program) {
  const auto c = std::make_shared<PruneCommand>();
  CLI::App* app = program.add_subcommand("prune", "Remove what convolutions can do without, and refit the rest");
  app->add_option("IN", c->in, "The .konv file to read")->required();
  app->add_option("-o,--output", c->out, "The .konv file to write")->required();
  app->add_option("--sparsity", c->options.sparsity, "Share of the convolutions' multiply-adds to remove")->required();
  app->add_option(
         "--kind", c->options.kind,
         "k-rows: an input channel's tap leaves all output channels together; channels: output channels leave with what reads them; "
         "unstructured: single weights")
      ->check(CLI::IsMember({"k-rows", "channels", "unstructured"}))
      ->capture_default_str();
  app->add_option("--granularity", c->options.granularity, "Input channels that leave together per tap: 1, 4, 8 or 16")
      ->check(CLI::IsMember({1, 4, 8, 16}))
      ->capture_default_str();
  add_calibration_options(*app, c->calibration)->required();
  app->add_option("--report", c->report, "JSON file to write: per layer weights, weights kept, noise");
  app->add_option("--reference", c->reference, "The model to imitate when IN is already pruned");
  app->add_option("--threads", c->threads, "Threads; 0 = all cores")->check(not_negative());
  add_output_options(*app, c->output, false);
  app->footer("Example: konv prune resnet20.konv -o resnet20-half.konv --sparsity 0.5 --calibration cifar10/train");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
