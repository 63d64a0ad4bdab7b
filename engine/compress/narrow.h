// Weights of 16-bit floats: half the storage, widened again when they are packed.
#pragma once

#include "engine/graph/graph.h"

namespace konv::compress {

/// The weight of layer `id`, rounded to nearest even in `type` (float16 or bfloat16). Returns its signal to noise in dB.
double narrow_weight(Graph& graph, NodeId id, DType type);

}  // namespace konv::compress
