// konv convert SOURCE -o OUT.konv: trained weights to a model, as found.
#include <algorithm>
#include <cctype>
#include <fstream>
#include <memory>

#include <fmt/format.h>

#include <konv/convert.hpp>

#include "tools/cli/common.h"
#include "tools/data/cifar.h"

namespace konv::tools {
namespace {

struct ConvertCommand {
  std::string source, out, arch, input_shape, labels, mean, std;
  bool list_archs = false;
  Output output;
};

std::vector<std::string> read_labels(const std::string& name) {
  if (name.empty()) return {};
  if (name == "cifar10") return {kCifar10Classes.begin(), kCifar10Classes.end()};
  std::ifstream file(name);
  if (!file) throw Error("--labels " + name + ": cannot be read; expected cifar10 or a file with one label per line");
  std::vector<std::string> labels;
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
    if (!line.empty()) labels.push_back(line);
  }
  if (labels.empty()) throw Error("--labels " + name + ": holds no label; expected one per line");
  return labels;
}

/// Of a quantized network: the nodes that the default passes leave to real numbers, and why.
void say_what_stays_real(const Model& model, const Json& graph) {
  const auto quantizes = [](const Json& node) { return node["op"] == "QuantizeLinear" || node["op"] == "DequantizeLinear"; };
  if (std::none_of(graph["nodes"].begin(), graph["nodes"].end(), quantizes)) return;
  std::vector<PassReport> reports;
  model.optimize("default", &reports);
  for (const PassReport& report : reports) {
    for (const std::string& line : report.refused) fmt::print(stderr, "konv: computes with real numbers: {}\n", line);
  }
}

void run(const ConvertCommand& c) {
  if (c.list_archs) {
    for (const auto& [name, summary] : architectures()) fmt::print("{:<12} {}\n", name, summary);
    return;
  }
  if (c.source.empty()) throw CLI::RequiredError("SOURCE");
  if (c.out.empty()) throw CLI::RequiredError("--output");
  const Model model = convert(c.source, {.arch = c.arch,
                                         .input_shape = parse_sizes("--input-shape", c.input_shape),
                                         .mean = parse_floats("--mean", c.mean),
                                         .std = parse_floats("--std", c.std),
                                         .labels = read_labels(c.labels)});
  model.save(c.out);
  if (!c.output.quiet) {
    const Json graph = Json::parse(model.describe());
    fmt::print(stderr, "{}: {} nodes, {} parameters, {:.2f} MB of weights\n", c.out, graph["nodes"].size(),
               graph["parameters"].get<std::int64_t>(), static_cast<double>(model.weights_bytes()) / 1e6);
    say_what_stays_real(model, graph);
  }
}

}  // namespace

void add_convert(CLI::App& program) {
  const auto c = std::make_shared<ConvertCommand>();
  CLI::App* app = program.add_subcommand("convert", "Turn trained weights (ONNX, PyTorch checkpoint, safetensors) into a model, as found");
  app->add_option("SOURCE", c->source, ".onnx | PyTorch checkpoint (.pt .pth .th) | .safetensors");
  app->add_option("-o,--output", c->out, "The .konv file to write");
  app->add_option("--arch", c->arch, "Architecture of a checkpoint, which holds no graph: one of --list-archs");
  app->add_flag("--list-archs", c->list_archs, "Print the architectures and stop");
  app->add_option("--input-shape", c->input_shape, "Fix the input's shape: N,C,H,W");
  app->add_option("--labels", c->labels, "cifar10, or a file with one label per line");
  app->add_option("--mean", c->mean, "Preprocessing: mean per channel, on pixels scaled to 0..1");
  app->add_option("--std", c->std, "Preprocessing: standard deviation per channel");
  add_output_options(*app, c->output, false);
  app->footer(
      "Example: konv convert resnet20.th --arch resnet20 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --labels cifar10 -o "
      "resnet20.konv");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
