// The oracle: a naive interpreter of graphs. Every operator as its definition reads, in double precision, one simple loop after another;
// nothing of plan, run or the kernels is used, nor of shape inference.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace konv::test {

/// The graph's outputs in order. Floats come back as float32, integers as they are. Throws konv::Error for a missing input.
std::vector<Tensor> run_reference(const Graph& graph, const std::map<std::string, Tensor>& inputs);

}  // namespace konv::test
