// Quantized tensors put together.
#pragma once

#include <cstdint>
#include <span>

#include "engine/graph/tensor.h"

namespace konv::compress {

/// Integers as int16, int8, int4 or int2, packed as files and memory hold them: element 0 in the lowest bits.
Tensor pack_integers(DType type, Dims dims, std::span<const std::int32_t> values);

/// int2, int4, int8 or int16.
DType signed_type(int bits);

}  // namespace konv::compress
