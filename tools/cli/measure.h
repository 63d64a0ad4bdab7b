// Latency of models: what bench and compare share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/cli/common.h"

namespace konv::tools {

struct MeasureOptions {
  std::int64_t batch = 1;
  int iterations = 0;  ///< 0: as many as `seconds` hold
  double seconds = 3;
  int warmup = 3;
  bool per_layer = false;
};

/// A model made ready to be timed on random inputs.
class Bench {
 public:
  Bench(std::string path, const RunOptions& run, const Output& output, const MeasureOptions& options);

  /// One inference; returns its seconds and keeps them.
  double run_once();
  void warm_up();
  std::size_t iterations() const { return seconds_.size(); }
  double median_seconds() const;
  const Model& model() const { return *model_; }
  Session& session() { return *session_; }
  const std::vector<LayerReport>& last_layers() const { return last_layers_; }
  /// The object that `konv bench --json` prints.
  Json report() const;

 private:
  std::string path_, precision_;
  MeasureOptions options_;
  std::optional<Model> model_;
  std::optional<Session> session_;
  std::unique_ptr<RandomInputs> inputs_;
  std::vector<double> seconds_;
  std::vector<std::vector<double>> layer_seconds_;
  std::vector<LayerReport> last_layers_;
  double load_seconds_ = 0, first_seconds_ = 0;
};

/// ", bfloat16 in 3 layers" for such a report, where that was asked for or is so.
std::string bfloat16_text(const Json& report);

/// The q-th quantile (0..1), interpolated.
double quantile(std::vector<double> values, double q);

}  // namespace konv::tools
