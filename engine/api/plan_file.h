// Tuned choices on disk: which kernel runs each convolution, for one model, input shapes, number of threads, precision, CPU and build.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace konv::api {

/// Whom a plan is for. Everything must be equal for a plan to be used.
struct PlanKey {
  std::string model;  ///< fingerprint()
  std::vector<Dims> inputs;
  int threads = 1;
  std::string isa, precision;
};

/// Of the network's structure: operators, attributes, shapes, names; not of the weights' values.
std::string fingerprint(const std::string& description);

struct PlanEntry {
  std::map<std::string, std::string> kernels;  ///< node to kernel
  double default_seconds = 0, seconds = 0;     ///< when it was tuned
};

class PlanFile {
 public:
  /// Reads `path` when it is there. Throws konv::Error naming the file when it is no plan file.
  explicit PlanFile(std::string path);

  bool exists() const { return exists_; }
  /// Why the file's plans are not for this CPU or build; empty when they are.
  std::string foreign() const;
  std::optional<PlanEntry> find(const PlanKey& key) const;
  /// Adds or replaces; plans of another CPU or build are dropped.
  void set(const PlanKey& key, const PlanEntry& entry);
  /// Writes the file, whole or not at all.
  void save() const;

 private:
  struct Stored {
    PlanKey key;
    PlanEntry entry;
  };
  std::string path_, cpu_, build_;
  bool exists_ = false;
  std::vector<Stored> stored_;
};

/// The name of this machine's CPU; "unknown" where it cannot be found out.
std::string cpu_name();

}  // namespace konv::api
