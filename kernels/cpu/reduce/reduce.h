// Mean, sum, maximum and minimum over some dimensions.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

enum class Reduction : std::uint8_t { mean, sum, max, min };

struct ReduceShape {
  Reduction kind = Reduction::mean;
  std::int64_t outputs = 0;  ///< elements of the result
  std::int64_t reduced = 0;  ///< elements behind each of them
};

struct ReduceArgs {
  ReduceShape shape;
  TensorView in;   ///< dimensions permuted: the kept ones first, then the reduced ones
  TensorView out;  ///< the kept dimensions
};

using ReduceCode = Code<ReduceShape, ReduceArgs>;
using ReduceKernel = Kernel<ReduceShape, ReduceCode>;
std::span<const ReduceKernel> reduce_kernels();

}  // namespace konv
