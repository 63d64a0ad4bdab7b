// The k largest or smallest elements along a dimension, in order, or their indices.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

/// Dense data seen as [outer, size, inner].
struct TopKShape {
  DType dtype = DType::float32;
  std::int64_t outer = 1, size = 0, inner = 1, k = 1;
  bool largest = true;
  bool last_first = false;  ///< of equal elements the last comes first, else the first
  bool indices = false;     ///< out is int64
};

struct TopKArgs {
  TopKShape shape;
  TensorView in, out;  ///< dense
};

using TopKCode = Code<TopKShape, TopKArgs>;
using TopKKernel = Kernel<TopKShape, TopKCode>;
std::span<const TopKKernel> topk_kernels();

}  // namespace konv
