// Architectures for checkpoints, which hold weights and no graph.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace konv::models {

/// A checkpoint's tensors by name ("layer1.0.conv1.weight").
using StateDict = std::map<std::string, Tensor>;

struct Architecture {
  const char* name;     ///< for --arch
  const char* summary;  ///< one line, for --list-archs
  /// Builds the network as trained (BatchNorm and branches unfused), batch symbolic ("N"). Block counts, widths and kinds of shortcuts are read off
  /// the weights. Tensors missing or unexpected or of the wrong shape are all listed in one konv::Error.
  Graph (*build)(const StateDict& weights);
};

const std::vector<Architecture>& architectures();

/// Throws konv::Error listing the known names.
const Architecture& find_architecture(const std::string& name);

}  // namespace konv::models
