// konv optimize IN.konv -o OUT.konv: graph passes whose result is true on every machine.
#include <memory>

#include <fmt/format.h>

#include "tools/cli/common.h"

namespace konv::tools {
namespace {

struct OptimizeCommand {
  std::string in, out, passes = "default";
  bool list_passes = false;
  Output output;
};

void run(const OptimizeCommand& c) {
  if (c.list_passes) {
    for (const PassInfo& pass : Model::passes()) fmt::print("{}\n    {}\n    {}\n", pass.name, pass.summary, pass.place);
    return;
  }
  if (c.in.empty()) throw CLI::RequiredError("IN");
  if (c.out.empty()) throw CLI::RequiredError("--output");
  std::vector<PassReport> reports;
  Model::load(c.in).optimize(c.passes, &reports).save(c.out);
  if (c.output.quiet) return;
  for (const PassReport& report : reports) {
    fmt::print(stderr, "{}: {}\n", report.pass, report.fired.empty() ? "nothing to do" : fmt::format("{} times", report.fired.size()));
    for (const std::string& line : report.fired) fmt::print(stderr, "    {}\n", line);
    for (const std::string& line : report.refused) fmt::print(stderr, "    left as it is: {}\n", line);
  }
}

}  // namespace

void add_optimize(CLI::App& program) {
  const auto c = std::make_shared<OptimizeCommand>();
  CLI::App* app =
      program.add_subcommand("optimize", "Apply graph passes (batch norm folding, RepVGG branch fusion, ...) and save the result");
  app->add_option("IN", c->in, "The .konv file to read");
  app->add_option("-o,--output", c->out, "The .konv file to write");
  app->add_option("--passes", c->passes, "default, none, or names separated by commas, run in that order");
  app->add_flag("--list-passes", c->list_passes, "Print the passes in the order of the default pipeline and stop");
  add_output_options(*app, c->output, false);
  app->footer("Example: konv optimize repvgg.konv -o repvgg-fused.konv --passes fold-batch-norm,fuse-repvgg");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
