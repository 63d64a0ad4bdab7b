#include "tools/cli/common.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>

#include <fmt/format.h>

#include <konv/convert.hpp>

namespace konv::tools {
namespace {

bool is_onnx(const std::string& path) { return path.size() > 5 && path.compare(path.size() - 5, 5, ".onnx") == 0; }

template <class T, class Parse>
std::vector<T> parse_list(const std::string& option, const std::string& text, Parse parse) {
  std::vector<T> values;
  std::size_t begin = 0;
  while (!text.empty() && begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    std::size_t used = 0;
    try {
      values.push_back(parse(item, used));
    } catch (const std::logic_error&) {
      used = std::string::npos;
    }
    if (used != item.size())
      throw CLI::ValidationError(option, fmt::format("'{}' is no number; expected numbers separated by commas", item));
    begin = end + 1;
  }
  return values;
}

/// CLI11's own checks print the largest double.
CLI::Validator number(const char* name, bool zero) {
  const auto check = [zero](const std::string& text) -> std::string {
    double x = 0;
    const bool fits = CLI::detail::lexical_cast(text, x) && (zero ? x >= 0 : x > 0);
    return fits ? "" : fmt::format("{}: expected a number {}", text, zero ? "of at least 0" : "above 0");
  };
  return CLI::Validator(check, name);
}

}  // namespace

CLI::Validator positive() { return number("POSITIVE", false); }
CLI::Validator not_negative() { return number("NONNEGATIVE", true); }

void add_run_options(CLI::App& app, RunOptions& o) {
  app.add_option("--device", o.device, "auto | cpu | cuda | cuda:N")->capture_default_str();
  app.add_option("--fallback", o.fallback, "cpu: nodes without a kernel on the device run on the CPU")->check(CLI::IsMember({"cpu"}));
  app.add_option("--threads", o.threads, "Threads in all; 0 = all cores")->check(not_negative());
  app.add_option("--precision", o.precision, "What products may be computed in: float32 | bfloat16 (CPU) | tf32 | float16 (CUDA)")
      ->check(CLI::IsMember({"float32", "tf32", "float16", "bfloat16"}));
  app.add_option("--plan-file", o.plan_file, "Plan to read when it is there; written by --tune");
  app.add_option("--tune", o.tune, "off | quick | full")->check(CLI::IsMember({"off", "quick", "full"}));
  app.add_option("--memory-limit", o.memory_limit, "Bytes for weights, arena and workspace together; 0 = no limit")->check(not_negative());
  app.add_option("--max-error", o.max_error, "Relative error allowed to an algorithm")->check(not_negative());
  app.add_option("--passes", o.passes, "default, none, or names: passes applied before running");
}

void add_output_options(CLI::App& app, Output& output, bool json) {
  if (json) app.add_flag("--json", output.json, "Print JSON");
  app.add_flag("--quiet", output.quiet, "No progress, no hints");
}

SessionOptions session_options(const RunOptions& o) {
  return {.device = o.device,
          .fallback = o.fallback,
          .precision = o.precision,
          .memory_limit = o.memory_limit,
          .max_error = o.max_error,
          .tune = o.tune,
          .plan_file = o.plan_file};
}

Model open_model(const std::string& path, const RunOptions& options, const Output& output, bool hint) {
  if (is_onnx(path)) return convert(path).optimize(options.passes.empty() ? "default" : options.passes);
  Model model = Model::load(path);
  if (!options.passes.empty()) return model.optimize(options.passes);
  if (hint && !output.quiet) {
    std::string names;
    for (const std::string& pass : model.pending_passes()) names += (names.empty() ? "" : ", ") + pass;
    if (!names.empty())
      fmt::print(stderr, "konv: hint: {}: default passes would still fire ({}); 'konv optimize' saves their result\n", path, names);
  }
  return model;
}

std::vector<std::int64_t> parse_sizes(const std::string& option, const std::string& text) {
  return parse_list<std::int64_t>(option, text, [](const std::string& s, std::size_t& used) { return std::stoll(s, &used); });
}

std::vector<float> parse_floats(const std::string& option, const std::string& text) {
  return parse_list<float>(option, text, [](const std::string& s, std::size_t& used) { return std::stof(s, &used); });
}

std::vector<std::int64_t> input_shape(const TensorInfo& input, std::int64_t batch) {
  std::vector<std::int64_t> shape = input.shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i == 0 && (shape[0] < 0 || batch != 1)) {
      if (shape[0] >= 0 && shape[0] != batch)
        throw Error(fmt::format("input '{}': has the fixed batch {}; expected --batch {}", input.name, shape[0], shape[0]));
      shape[0] = batch;
    }
    if (shape[i] < 0)
      throw Error(fmt::format("input '{}': dimension {} is open; expected a model converted with --input-shape", input.name, i));
  }
  return shape;
}

RandomInputs::RandomInputs(const Model& model, std::int64_t batch, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (const TensorInfo& info : model.inputs()) {
    InputTensor tensor{info.name, info.type, input_shape(info, batch), nullptr};
    std::int64_t count = 1;
    for (std::int64_t d : tensor.shape) count *= d;
    std::vector<std::byte> bytes(static_cast<std::size_t>(count) * 8);
    if (info.type == Type::float32) {
      for (std::int64_t i = 0; i < count; ++i) {
        const float x = normal(random);
        std::memcpy(bytes.data() + i * 4, &x, 4);
      }
    }
    tensor.data = bytes.data();
    bytes_.push_back(std::move(bytes));
    tensors.push_back(std::move(tensor));
  }
}

double max_abs_difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) throw Error(fmt::format("outputs have {} and {} elements; expected equal sizes", a.size(), b.size()));
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(d <= worst)) worst = d;
    if (std::isnan(d)) return d;
  }
  return worst;
}

double difference(std::span<const float> a, std::span<const float> b) {
  double magnitude = 1;
  for (float x : b) magnitude = std::max(magnitude, static_cast<double>(std::abs(x)));
  return max_abs_difference(a, b) / magnitude;
}

Progress::Progress(std::string what, std::size_t total, bool quiet)
    : what_(std::move(what)),
      total_(total),
      shown_(!quiet && isatty(STDERR_FILENO)),
      begin_(std::chrono::steady_clock::now()),
      drawn_(begin_) {
  if (shown_) draw(0);
}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\033[K");
}

void Progress::step(std::size_t done) {
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || (done != total_ && now - drawn_ < std::chrono::milliseconds(100))) return;
  drawn_ = now;
  draw(done);
}

void Progress::draw(std::size_t done) {
  constexpr std::size_t kWidth = 30;
  const std::size_t filled = total_ ? done * kWidth / total_ : kWidth;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  fmt::print(stderr, "\r{} [{}{}] {}/{} {:.0f}/s", what_, std::string(filled, '#'), std::string(kWidth - filled, '.'), done, total_,
             seconds > 0 ? static_cast<double>(done) / seconds : 0.0);
  std::fflush(stderr);
}

std::string table(const std::vector<std::vector<std::string>>& rows, bool prose_last) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i)
      text += prose_last && i + 1 == row.size() ? "  " + row[i]
              : i == 0                          ? fmt::format("{:<{}}", row[i], widths[i])
                                                : fmt::format("  {:>{}}", row[i], widths[i]);
    text += '\n';
  }
  return text;
}

}  // namespace konv::tools
