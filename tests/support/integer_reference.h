// The oracle of quantized graphs: what integer kernels must give, bit for bit. Sums are exact, and what follows them is the formula of
// kernels/cpu/integer/requantize.h, written once more.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace konv::test {

/// The graph's outputs in order; integers come back as bytes (uint8) or int16. Nodes that touch no integers are computed in double and rounded to float32,
/// so only graphs whose float part is exact have one right answer.
std::vector<Tensor> run_integer_reference(const Graph& graph, const std::map<std::string, Tensor>& inputs);

}  // namespace konv::test
