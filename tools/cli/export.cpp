// konv export MODEL -o OUT.onnx: the graph, optimized or not, as other programs read it.
#include <memory>

#include <konv/convert.hpp>

#include "tools/cli/common.h"

namespace konv::tools {
namespace {

struct ExportCommand {
  std::string model, out;
  RunOptions run;
  Output output;
};

}  // namespace

void add_export(CLI::App& program) {
  const auto c = std::make_shared<ExportCommand>();
  CLI::App* app = program.add_subcommand("export", "Write a model as an ONNX file");
  app->add_option("MODEL", c->model, ".konv file, written as it was saved, or .onnx file, optimized by the default passes")->required();
  app->add_option("-o,--output", c->out, "The .onnx file to write")->required();
  app->add_option("--passes", c->run.passes, "Apply these graph passes first: default, none, or names separated by commas");
  add_output_options(*app, c->output, false);
  app->footer("Example: konv export optimized.konv -o optimized.onnx");
  app->callback([c] { export_onnx(open_model(c->model, c->run, c->output, false), c->out); });
}

}  // namespace konv::tools
