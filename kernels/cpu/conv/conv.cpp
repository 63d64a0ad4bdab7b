#include "kernels/cpu/conv/conv.h"

#include "kernels/cpu/conv/cost.h"
#include "kernels/cpu/conv/refuse.h"

namespace konv {

#define KONV_CONV(name, isa, refuse, cost) extern const ConvCode name##_code;
#include "kernels/cpu/conv/conv_kernels.inc"
#undef KONV_CONV

std::span<const ConvKernel> conv_kernels() {
  static const ConvKernel kernels[] = {
#define KONV_CONV(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/conv/conv_kernels.inc"
#undef KONV_CONV
  };
  return kernels;
}

}  // namespace konv
