#include "kernels/base/isa.h"

#include <cstdlib>
#include <iterator>
#include <string>

#if KONV_HAVE_CPUINFO
#include <cpuinfo.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace konv {
namespace {

constexpr const char* kNames[] = {"portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "avx512_amx"};

#if KONV_HAVE_CPUINFO && defined(__x86_64__)
/// AMX of 8-bit integers and bfloat16: in the CPU, and the operating system saves tile registers and lets this process use them.
bool may_use_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned amx = 1u << 22 | 1u << 24 | 1u << 25;  // bfloat16, tiles, 8-bit integers
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & amx) != amx) return false;
  constexpr long arch_req_xcomp_perm = 0x1023, xtiledata = 18;  // asm/prctl.h of Linux 5.16 and newer
  return syscall(SYS_arch_prctl, arch_req_xcomp_perm, xtiledata) == 0;
}
#endif

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
    if (vnni && cpuinfo_has_x86_avx512bf16()) return may_use_tiles() ? Isa::avx512_amx : Isa::avx512_bf16;
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
  static const std::string unknown = std::string("KONV_FORCE_ISA names no instruction set; expected ") + kIsaNames;
  if (!isa) return {detected_isa(), unknown.c_str()};
  if (*isa > detected_isa()) return {detected_isa(), "KONV_FORCE_ISA names an instruction set that this CPU lacks"};
  return {*isa, nullptr};
}

}  // namespace konv
