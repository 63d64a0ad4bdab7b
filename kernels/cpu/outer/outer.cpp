#include "kernels/cpu/outer/outer.h"

#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_outer_nothing(const OuterShape&) { return nullptr; }

double cost_outer(const OuterShape& s, const Machine& m) {
  return 4.0 * static_cast<double>(s.rows * s.a * s.b) / (0.7 * m.flops) + kCallSeconds;
}

}  // namespace

#define KONV_OUTER(name, isa, refuse, cost) extern const OuterCode name##_code;
#include "kernels/cpu/outer/outer_kernels.inc"
#undef KONV_OUTER

std::span<const OuterKernel> outer_kernels() {
  static const OuterKernel kernels[] = {
#define KONV_OUTER(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/outer/outer_kernels.inc"
#undef KONV_OUTER
  };
  return kernels;
}

}  // namespace konv
