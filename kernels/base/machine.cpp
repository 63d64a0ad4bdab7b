#include "kernels/base/machine.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace konv {
namespace {

/// The family of AMD's cores as its manuals number them: 25 is Zen 3 and 4, 26 Zen 5. 0 for other CPUs.
unsigned amd_family() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx || d != signature_AMD_edx || c != signature_AMD_ecx) return 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  return (a >> 8 & 15) + (a >> 20 & 255);
#else
  return 0;
#endif
}

}  // namespace

Machine Machine::typical(Isa isa) {
  Machine m;
  m.isa = isa;
  m.flops = isa >= Isa::avx512 ? 150e9 : isa == Isa::avx2 ? 80e9 : 12e9;
  m.l1_bandwidth = isa >= Isa::avx512 ? 300e9 : isa == Isa::avx2 ? 160e9 : 60e9;
  m.l2_bandwidth = isa >= Isa::avx512 ? 100e9 : isa == Isa::avx2 ? 80e9 : 40e9;
  return m;
}

Machine Machine::here(Isa isa) {
  Machine m = typical(isa);
  static const unsigned family = amd_family();
  if (isa == Isa::portable) return m;
  // An L3 for a few cores gives each of them nearly what its L2 does; 24 MB are what neighbours leave of 32. Figures of Zen 4 and Zen 5 as measured; Zen 3 is
  // taken for a Zen 4.
  if (family == 25) {
    m.flops = 116e9;
    m.hidden = isa >= Isa::avx512 ? 0.75 : 0;  // 512 bits are multiplied in two halves
    m.l1_bandwidth = 200e9, m.l2_bandwidth = 110e9, m.l3_bandwidth = 100e9, m.dram_bandwidth = 25e9;
    m.l3_bytes = 24 << 20;
  } else if (family == 26) {
    m.flops = isa >= Isa::avx512 ? 260e9 : 126e9;
    m.l1_bandwidth = 500e9, m.l2_bandwidth = 200e9, m.l3_bandwidth = 120e9, m.dram_bandwidth = 33e9;
    m.l3_bytes = 24 << 20;
  }
  return m;
}

}  // namespace konv
