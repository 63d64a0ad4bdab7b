// Chooses convolution kernels by measuring them in place: in the network's own arena, between their own neighbours, on the threads that will run them.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "engine/base/thread_pool.h"
#include "engine/graph/graph.h"
#include "engine/plan/plan.h"

namespace konv::run {

struct TuneOptions {
  double within = 1.3;  ///< candidates whose predicted time is at most this many times the best one's
  int rounds = 8;       ///< runs of every candidate; the least time counts
};

struct Tuned {
  std::map<std::string, std::string> kernels;  ///< node name to kernel name, for every convolution
  double default_seconds = 0, seconds = 0;     ///< the whole network: median with the cost model's choice, and with the one returned
};

/// Candidates take turns, so that all of them see the machine at its best and at its worst. The cost model's own choice is kept wherever it wins, and as a
/// whole when the tuned plan is not faster. `pool` may be null: serially, on `threads` = 1.
Tuned tune(const std::shared_ptr<const Graph>& graph, const std::map<ValueId, Dims>& input_shapes, const Machine& machine,
           const plan::Options& options, ThreadPool* pool, const TuneOptions& tune);

}  // namespace konv::run
