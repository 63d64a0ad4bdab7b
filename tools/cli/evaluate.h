// Accuracy of a model on labelled images: what eval and compare share.
#pragma once

#include <cstddef>
#include <vector>

#include "tools/cli/classify.h"
#include "tools/data/dataset.h"

namespace konv::tools {

struct EvalReport {
  std::size_t images = 0, correct = 0, correct5 = 0;
  double seconds = 0;             ///< in the network, without decoding
  std::vector<std::size_t> best;  ///< class found, by image
  double top1() const { return static_cast<double>(correct) / static_cast<double>(images); }
  double top5() const { return static_cast<double>(correct5) / static_cast<double>(images); }
};

/// `limit` 0 = all images.
EvalReport evaluate(Session& session, const Model& model, const Dataset& data, std::size_t batch, std::size_t limit, bool quiet);

}  // namespace konv::tools
