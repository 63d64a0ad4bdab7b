#include "kernels/base/machine.h"

namespace konv {

Machine Machine::typical(Isa isa) {
  Machine m;
  m.isa = isa;
  m.flops = isa >= Isa::avx512 ? 150e9 : isa == Isa::avx2 ? 80e9 : 12e9;
  m.l1_bandwidth = isa >= Isa::avx512 ? 300e9 : isa == Isa::avx2 ? 160e9 : 60e9;
  m.l2_bandwidth = isa >= Isa::avx512 ? 100e9 : isa == Isa::avx2 ? 80e9 : 40e9;
  return m;
}

}  // namespace konv
