// Calibration images for quantize and prune.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tools/cli/common.h"
#include "tools/data/dataset.h"
#include "tools/data/file.h"

namespace konv::tools {

struct CalibrationOptions {
  std::vector<std::string> data;
  std::size_t samples = 1024;
  std::uint64_t seed = 1;
};

CLI::Option* add_calibration_options(CLI::App& app, CalibrationOptions& options);

/// Images of a data set, picked by the seed: labels are not looked at.
class Calibration {
 public:
  /// Throws konv::Error where there is no image.
  Calibration(const Model& model, const CalibrationOptions& options);

  CalibrationImages images() const;
  /// What the finished model says about them.
  std::map<std::string, std::string> notes() const;

 private:
  const Model& model_;
  CalibrationOptions options_;
  Dataset data_;
  std::vector<std::size_t> picked_;
};

/// Writes a report, whole or not at all. Throws konv::Error.
void write_report(const std::string& path, const std::string& text);

/// "out.konv: 0.29 MB, from 1.11 MB"
std::string sizes_line(const std::string& in, const std::string& out);

}  // namespace konv::tools
