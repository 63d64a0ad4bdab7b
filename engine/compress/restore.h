// A quantized network as the float one that it imitates, and what was asked for to make it.
#pragma once

#include "engine/compress/quantize.h"

namespace konv::compress {

bool is_quantized(const Graph& graph);

/// The same nodes in float32: weights as the real numbers they stand for, activations as they come.
Graph restored(const Graph& graph);

/// The bits of every layer, by name.
QuantizeSettings settings_of(const Graph& graph);

}  // namespace konv::compress
