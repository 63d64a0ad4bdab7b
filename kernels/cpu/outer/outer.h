// Sums of outer products in double: c[i][j] += sum over n of a[n][i] b[n][j]. What the statistics of calibration are made of.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/kernel.h"

namespace konv {

struct OuterShape {
  std::int64_t rows = 0;  ///< samples n; what a block of some hundred takes should fit L2
  std::int64_t a = 0, b = 0;
  bool upper = false;  ///< only j >= i is wanted; what lies below is left in any state
};

/// Every element of c is summed in order of n, whatever the instruction set: where products are exact in double (factors of at most 24 and 29 bits), so are
/// the bits of the result the same everywhere.
struct OuterArgs {
  OuterShape shape;
  const double *a, *b;  ///< [rows, a_stride], [rows, b_stride]; rounded up to kOuterBlock columns, those behind the last zero
  std::int64_t a_stride, b_stride;
  double* c;  ///< [a, c_stride], both rounded up as well
  std::int64_t c_stride;
};

inline constexpr std::int64_t kOuterBlock = 16;

using OuterCode = Code<OuterShape, OuterArgs>;
using OuterKernel = Kernel<OuterShape, OuterCode>;
std::span<const OuterKernel> outer_kernels();

}  // namespace konv
