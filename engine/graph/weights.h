// Constants as the numbers they stand for.
#pragma once

#include "engine/graph/graph.h"

namespace konv {

/// A constant value as dense float32: dequantized, pruned rows as zeros. The tensor itself where it is that already. Constants of float16 and bfloat16 that have a
/// scale (zero points 0) stand for float32, too.
Tensor real_weights(const Value& value);

/// Is it a constant whose real weights are bfloat16 as it is stored, so that rounding to that loses nothing?
bool is_bfloat16(const Value& value);

/// What the integers of a quantized constant stand for before the scale (stored - zero point), pruned rows as zeros, in its dense shape.
std::vector<std::int64_t> integer_weights(const Value& value);

/// Which of the scales element `index` (row-major) of a tensor of `dims` has.
std::size_t scale_index(const Quantization& quantization, const Dims& dims, std::int64_t index);

}  // namespace konv
