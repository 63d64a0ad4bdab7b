// konv inspect MODEL: what is in a model, and how it would run.
#include <fstream>
#include <memory>

#include <fmt/format.h>

#include "tools/cli/common.h"

namespace konv::tools {
namespace {

struct InspectCommand {
  std::string model, dot, isa;
  bool plan = false;
  std::int64_t batch = 1;
  RunOptions run;
  Output output;
};

std::string shape_text(const Json& shape) {
  std::string text;
  if (!shape.is_array()) return "?";
  for (const Json& d : shape) text += (text.empty() ? "" : "x") + (d.is_string() ? d.get<std::string>() : d.dump());
  return text.empty() ? "scalar" : text;
}

void print_graph(const Json& graph) {
  std::vector<std::vector<std::string>> rows = {{"node", "operator", "output"}};
  for (const Json& node : graph["nodes"]) rows.push_back({node["name"], node["op"], shape_text(node["output_shapes"][0])});
  fmt::print("{}", table(rows));
  fmt::print("source: {}\npasses applied: {}\nparameters: {}\nweights: {} bytes\nmultiply-adds: {}\n", graph["source"].get<std::string>(),
             graph["passes_applied"].empty() ? "none" : graph["passes_applied"].dump(), graph["parameters"].dump(),
             graph["weights_bytes"].dump(), graph["macs"].dump());
}

void print_plan(const Json& plan) {
  std::vector<std::vector<std::string>> rows = {{"step", "operator", "kernel", "predicted us", "others"}};
  for (const Json& step : plan["steps"]) {
    std::string others;
    for (const Json& other : step["candidates"]) {
      const std::string refused = other.value("refused", "");
      others += (others.empty() ? "" : "; ") + other["kernel"].get<std::string>() + ": " +
                (refused.empty() ? fmt::format("{:.1f} us", 1e6 * other["cost"].get<double>()) : refused);
    }
    std::string kernel = step["kernel"];
    if (step["rows_at_once"] > 0) kernel += fmt::format(", {} rows at a time", step["rows_at_once"].dump());
    if (step["with_previous"] == true) kernel += ", with the step before";
    rows.push_back({step["name"], step["op"], kernel, fmt::format("{:.1f}", 1e6 * step["cost"].get<double>()), others});
  }
  const auto device = plan["device"].get<std::string>();
  const bool cpu = device == "cpu";
  if (cpu && plan["batch"]["slice"] != plan["batch"]["images"])
    fmt::print("a batch of {} is run in slices of {} images, {} at a time; the steps of one slice:\n", plan["batch"]["images"].dump(),
               plan["batch"]["slice"].dump(), plan["batch"]["at_a_time"].dump());
  fmt::print("{}device {}{}, arena {} bytes, workspace {} bytes{}{}\n", table(rows, true), device,
             cpu ? ", " + plan["isa"].get<std::string>() : "", plan["arena_bytes"].dump(), plan["workspace_bytes"].dump(),
             cpu ? " per thread" : "", cpu ? fmt::format(", {} bytes held in all", plan["batch"]["held_bytes"].dump()) : "");
}

void run(const InspectCommand& c) {
  // As found: an ONNX file is not optimized unless asked for.
  RunOptions options = c.run;
  if (options.passes.empty()) options.passes = "none";
  const Model model = open_model(c.model, options, c.output, false);
  if (!c.dot.empty()) {
    std::ofstream file(c.dot, std::ios::binary);
    file << model.dot();
    if (!file.flush()) throw Error(c.dot + ": cannot be written; expected a writable folder");
  }
  Json graph = Json::parse(model.describe());
  if (c.plan) {
    SessionOptions session = session_options(c.run);
    session.isa = c.isa;
    std::vector<std::vector<std::int64_t>> shapes;
    for (const TensorInfo& input : model.inputs()) shapes.push_back(input_shape(input, c.batch));
    graph["plan"] = Json::parse(model.plan(session, shapes, c.run.threads));
  }
  if (c.output.json) {
    fmt::print("{}\n", graph.dump(2, ' ', false, Json::error_handler_t::replace));
  } else if (c.plan) {
    print_plan(graph["plan"]);
  } else {
    print_graph(graph);
  }
}

}  // namespace

void add_inspect(CLI::App& program) {
  const auto c = std::make_shared<InspectCommand>();
  CLI::App* app = program.add_subcommand("inspect", "Show a model's graph, or the plan it would run by");
  app->add_option("MODEL", c->model, ".konv or .onnx file")->required();
  app->add_flag("--plan", c->plan, "Show the steps, their kernels and why the others were not taken");
  app->add_option("--isa", c->isa,
                  "Plan for this instruction set, which need not be here: portable, avx2, avx512, avx512_vnni, avx512_bf16, avx512_amx");
  app->add_option("--batch", c->batch, "Batch to plan for")->check(positive())->capture_default_str();
  app->add_option("--dot", c->dot, "Write the graph in Graphviz' language to this file");
  add_run_options(*app, c->run);
  add_output_options(*app, c->output);
  app->footer(
      "Example: konv inspect resnet20.konv --plan --isa avx2; konv inspect resnet20.konv --plan --device cuda:h200 --precision float16");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
