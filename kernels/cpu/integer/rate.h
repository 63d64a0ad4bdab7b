// How fast a machine adds up products of bytes, for cost models.
#pragma once

#include "kernels/base/machine.h"

namespace konv {

/// Operations per second of one core, 2 per multiply-add.
inline double integer_rate(const Machine& m) {
  if (m.isa >= Isa::avx512_vnni) return 4 * m.flops;
  return m.isa >= Isa::avx2 ? 1.3 * m.flops : 0.5 * m.flops;  // two 16-bit multiplications, an addition and a widening for four products
}

}  // namespace konv
