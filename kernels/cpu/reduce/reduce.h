// Sums, extremes, products and norms over some dimensions.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

/// l1 = sum |x|, l2 = sqrt(sum x^2), log_sum = log(sum x), log_sum_exp = log(sum exp(x)), sum_square = sum x^2
enum class Reduction : std::uint8_t { mean, sum, max, min, prod, l1, l2, log_sum, log_sum_exp, sum_square };

struct ReduceShape {
  Reduction kind = Reduction::mean;
  std::int64_t outputs = 0;  ///< elements of the result
  std::int64_t reduced = 0;  ///< elements behind each of them
  DType dtype = DType::float32;
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
