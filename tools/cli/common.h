// What the subcommands share: how models are opened, how figures are printed, the progress bar.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <konv/konv.hpp>

namespace konv::tools {

using Json = nlohmann::ordered_json;

/// Options of everything that runs a model.
struct RunOptions {
  std::string device = "auto", fallback, precision = "float32", plan_file, tune = "off", passes;
  int threads = 0;
  std::int64_t memory_limit = 0;
  double max_error = 0;
};

struct Output {
  bool json = false;
  bool quiet = false;
};

/// Checks of options that are numbers.
CLI::Validator positive();
CLI::Validator not_negative();

void add_run_options(CLI::App& app, RunOptions& options);
void add_output_options(CLI::App& app, Output& output, bool json = true);

/// The model behind MODEL: a .konv file as it was saved (with --passes applied when given), or an ONNX file, converted and optimized by the default passes.
/// With `hint`, says on stderr when default passes would still fire.
Model open_model(const std::string& path, const RunOptions& options, const Output& output, bool hint);

SessionOptions session_options(const RunOptions& options);

/// "1,3,32,32" to numbers. Throws konv::Error naming the option.
std::vector<std::int64_t> parse_sizes(const std::string& option, const std::string& text);
std::vector<float> parse_floats(const std::string& option, const std::string& text);

/// The input's shape with `batch` images; other open sizes are an error naming the input.
std::vector<std::int64_t> input_shape(const TensorInfo& input, std::int64_t batch);

/// Zeroed bytes for every input, filled with reproducible noise, and the tensors that point at them.
struct RandomInputs {
  RandomInputs(const Model& model, std::int64_t batch, unsigned seed = 1);
  std::vector<InputTensor> tensors;

 private:
  std::vector<std::vector<std::byte>> bytes_;
};

/// max|a - b| / max(1, max|b|), b the reference; NaN on either side gives NaN.
double difference(std::span<const float> a, std::span<const float> b);
double max_abs_difference(std::span<const float> a, std::span<const float> b);

/// A bar on stderr while that is a terminal; nothing otherwise.
class Progress {
 public:
  Progress(std::string what, std::size_t total, bool quiet);
  ~Progress();
  void step(std::size_t done);

 private:
  void draw(std::size_t done);
  std::string what_;
  std::size_t total_;
  bool shown_;
  std::chrono::steady_clock::time_point begin_, drawn_;
};

/// Text between columns, padded: the first column to the left, numbers to the right. `prose_last`: the last one as it is.
std::string table(const std::vector<std::vector<std::string>>& rows, bool prose_last = false);

// One per subcommand: adds it to the program.
void add_convert(CLI::App& program);
void add_optimize(CLI::App& program);
void add_quantize(CLI::App& program);
void add_prune(CLI::App& program);
void add_run(CLI::App& program);
void add_eval(CLI::App& program);
void add_bench(CLI::App& program);
void add_bench_conv(CLI::App& program);
void add_compare(CLI::App& program);
void add_inspect(CLI::App& program);
void add_export(CLI::App& program);
void add_devices(CLI::App& program);

}  // namespace konv::tools
