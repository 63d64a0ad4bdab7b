#include "kernels/cpu/softmax/softmax.h"

#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_softmax_nothing(const SoftmaxShape&) { return nullptr; }

double cost_softmax(const SoftmaxShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.outer * s.size * s.inner);
  return stream_seconds(8 * count, m) + 8e-9 * count + kCallSeconds;
}

}  // namespace

#define KONV_SOFTMAX(name, isa, refuse, cost) extern const SoftmaxCode name##_code;
#include "kernels/cpu/softmax/softmax_kernels.inc"
#undef KONV_SOFTMAX

std::span<const SoftmaxKernel> softmax_kernels() {
  static const SoftmaxKernel kernels[] = {
#define KONV_SOFTMAX(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/softmax/softmax_kernels.inc"
#undef KONV_SOFTMAX
  };
  return kernels;
}

}  // namespace konv
