#include "tools/cli/calibrate.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <random>
#include <span>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace konv::tools {

CLI::Option* add_calibration_options(CLI::App& app, CalibrationOptions& o) {
  CLI::Option* data =
      app.add_option("--calibration", o.data,
                     "Images: CIFAR-10 .bin file(s), a folder of them, or a folder of class-named subfolders (labels are not used)");
  app.add_option("--samples", o.samples, "How many of them")->check(positive())->capture_default_str();
  app.add_option("--seed", o.seed, "Picks the images")->capture_default_str();
  return data;
}

Calibration::Calibration(const Model& model, const CalibrationOptions& options)
    : model_(model), options_(options), data_({options.data.begin(), options.data.end()}, model.labels()), picked_(data_.size()) {
  if (picked_.empty()) throw Error("--calibration: holds no image; expected at least one");
  std::iota(picked_.begin(), picked_.end(), std::size_t{0});
  std::mt19937_64 random(options.seed);
  for (std::size_t i = picked_.size(); i > 1; --i) std::swap(picked_[i - 1], picked_[random() % i]);
  picked_.resize(std::min(picked_.size(), options.samples));
  std::sort(picked_.begin(), picked_.end());
}

CalibrationImages Calibration::images() const {
  return {static_cast<std::int64_t>(picked_.size()), [this](std::int64_t i, float* out) {
            const std::size_t index = picked_[static_cast<std::size_t>(i)];
            const Image image = data_.load(index).image;
            try {
              model_.preprocess(image.rgb.data(), image.width, image.height, out);
            } catch (const Error& e) {
              throw Error(data_.name(index) + ": " + e.what());
            }
          }};
}

std::map<std::string, std::string> Calibration::notes() const {
  return {{"calibration", fmt::format("{}", fmt::join(options_.data, ", "))},
          {"calibration.samples", std::to_string(picked_.size())},
          {"calibration.seed", std::to_string(options_.seed)}};
}

void write_report(const std::string& path, const std::string& text) {
  const std::string line = text + "\n";
  write_file(path, {std::as_bytes(std::span(line))});
}

std::string sizes_line(const std::string& in, const std::string& out) {
  const auto megabytes = [](const std::string& path) { return static_cast<double>(std::filesystem::file_size(path)) / 1e6; };
  return fmt::format("{}: {:.3f} MB, from {:.3f} MB", out, megabytes(out), megabytes(in));
}

}  // namespace konv::tools
