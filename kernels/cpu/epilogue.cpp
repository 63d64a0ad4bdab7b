#include "kernels/cpu/epilogue.h"

namespace konv {

void activate_row(const Activation& activation, float* row, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) row[i] = apply(activation, row[i]);
}

}  // namespace konv
