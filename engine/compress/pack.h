// Types of quantized tensors.
#pragma once

#include "kernels/base/dtype.h"

namespace konv::compress {

/// int2, int4, int8 or int16.
DType signed_type(int bits);

}  // namespace konv::compress
