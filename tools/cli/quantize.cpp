// konv quantize IN.konv -o OUT.konv: weights and activations in few bits, computed in integers.
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "tools/cli/calibrate.h"

namespace konv::tools {
namespace {

struct QuantizeCommand {
  std::string in, out, weights, activations, config, report, reference;
  QuantizeOptions options;
  CalibrationOptions calibration;
  int threads = 0;
  Output output;
};

Type type_from(const std::string& option, const std::string& text, const std::vector<Type>& allowed) {
  std::string names;
  for (const Type type : allowed) {
    if (text == type_name(type)) return type;
    names += std::string(names.empty() ? "" : ", ") + type_name(type);
  }
  throw CLI::ValidationError(option, "'" + text + "' is no type it takes; expected one of " + names);
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) throw Error(path + ": cannot be read; expected a JSON file");
  return text.str();
}

void run(QuantizeCommand& c) {
  c.options.weights = type_from("--weights", c.weights, {Type::float16, Type::bfloat16, Type::int16, Type::int8, Type::int4, Type::int2});
  c.options.activations = type_from("--activations", c.activations, {Type::float32, Type::int16, Type::int8, Type::int4, Type::int2});
  if (!c.config.empty()) c.options.config = text_of(c.config);
  const Model model = Model::load(c.in);
  std::optional<Model> reference;
  if (!c.reference.empty()) c.options.reference = &reference.emplace(Model::load(c.reference));
  std::optional<Calibration> calibration;
  if (!c.calibration.data.empty()) {
    calibration.emplace(model, c.calibration);
    c.options.notes = calibration->notes();
  } else if (c.options.weights != Type::float16 && c.options.weights != Type::bfloat16) {
    throw CLI::RequiredError("--calibration");
  }
  c.options.notes["quantize"] = fmt::format("weights {}, activations {}, calibrator {}, rounding {}{}", c.weights, c.activations,
                                            c.options.calibrator, c.options.rounding, c.config.empty() ? "" : ", config " + c.config);
  std::unique_ptr<Progress> progress;
  c.options.progress = [&](std::size_t done, std::size_t total) {
    if (!progress) progress = std::make_unique<Progress>("quantize", total, c.output.quiet);
    progress->step(done);
  };
  std::string report;
  const Model quantized = model.quantize(calibration ? calibration->images() : CalibrationImages{}, c.options, Runtime(c.threads), &report);
  progress.reset();
  quantized.save(c.out);
  if (!c.report.empty()) write_report(c.report, report);
  if (!c.output.quiet) fmt::print(stderr, "{}\n", sizes_line(c.in, c.out));
}

}  // namespace

void add_quantize(CLI::App& program) {
  const auto c = std::make_shared<QuantizeCommand>();
  CLI::App* app = program.add_subcommand("quantize", "Weights and activations in few bits, computed in integers");
  app->add_option("IN", c->in, "The .konv file to read")->required();
  app->add_option("-o,--output", c->out, "The .konv file to write")->required();
  app->add_option("--weights", c->weights, "float16, bfloat16, int16, int8, int4 or int2")->required();
  app->add_option("--activations", c->activations, "float32, int16, int8, int4 or int2")->required();
  add_calibration_options(*app, c->calibration);
  app->add_option("--calibrator", c->options.calibrator, "Where activations are clipped: auto, minmax, percentile, kl or mse")
      ->check(CLI::IsMember({"auto", "minmax", "percentile", "kl", "mse"}))
      ->capture_default_str();
  app->add_option("--rounding", c->options.rounding, "nearest, gptq, or full: GPTQ, then coordinate descent")
      ->check(CLI::IsMember({"nearest", "gptq", "full"}))
      ->capture_default_str();
  app->add_option("--config", c->config,
                  "JSON file: {\"skips\": TYPE, \"ends\": TYPE (first and last layer), \"layers\": {NAME: {\"weights\", \"activations\", "
                  "\"calibrator\", "
                  "\"rounding\"}}}; weights of float32, float16 or bfloat16 keep a layer in real numbers");
  app->add_option("--report", c->report, "JSON file to write: per layer bits, scales, clipping, noise");
  app->add_option("--reference", c->reference, "The float model to imitate when IN is already pruned");
  app->add_option("--threads", c->threads, "Threads; 0 = all cores")->check(not_negative());
  add_output_options(*app, c->output, false);
  app->footer("Example: konv quantize resnet20.konv -o resnet20-int8.konv --weights int8 --activations int8 --calibration cifar10/train");
  app->callback([c] { run(*c); });
}

}  // namespace konv::tools
