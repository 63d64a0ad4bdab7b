#include "kernels/base/isa.h"

#include <cstdlib>
#include <iterator>

#if KONV_HAVE_CPUINFO
#include <cpuinfo.h>
#endif

namespace konv {
namespace {

constexpr const char* kNames[] = {"portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16"};

}  // namespace

const char* name(Isa isa) { return kNames[static_cast<int>(isa)]; }

std::optional<Isa> isa_from_name(std::string_view name) {
  for (int i = 0; i < static_cast<int>(std::size(kNames)); ++i) {
    if (name == kNames[i]) return static_cast<Isa>(i);
  }
  return {};
}

int lanes(Isa isa) {
  if (isa >= Isa::avx512) return 16;
  return isa == Isa::avx2 ? 8 : 4;
}

Isa detected_isa() {
#if KONV_HAVE_CPUINFO && defined(__x86_64__)
  static const Isa isa = [] {
    if (!cpuinfo_initialize()) return Isa::portable;
    const bool avx2 = cpuinfo_has_x86_avx2() && cpuinfo_has_x86_fma3() && cpuinfo_has_x86_f16c();
    const bool avx512 =
        avx2 && cpuinfo_has_x86_avx512f() && cpuinfo_has_x86_avx512dq() && cpuinfo_has_x86_avx512bw() && cpuinfo_has_x86_avx512vl();
    const bool vnni = avx512 && cpuinfo_has_x86_avx512vnni();
    if (vnni && cpuinfo_has_x86_avx512bf16()) return Isa::avx512_bf16;
    if (avx512) return vnni ? Isa::avx512_vnni : Isa::avx512;
    return avx2 ? Isa::avx2 : Isa::portable;
  }();
  return isa;
#else
  return Isa::portable;
#endif
}

IsaChoice choose_isa() {
  const char* wanted = std::getenv("KONV_FORCE_ISA");
  if (!wanted || !*wanted) return {detected_isa(), nullptr};
  const std::optional<Isa> isa = isa_from_name(wanted);
  if (!isa) return {detected_isa(), "KONV_FORCE_ISA names no instruction set; expected portable, avx2, avx512, avx512_vnni or avx512_bf16"};
  if (*isa > detected_isa()) return {detected_isa(), "KONV_FORCE_ISA names an instruction set that this CPU lacks"};
  return {*isa, nullptr};
}

}  // namespace konv
