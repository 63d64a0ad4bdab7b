#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_unary_nothing(const UnaryShape&) { return nullptr; }

double cost_unary(const UnaryShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.count);
  const ActivationKind kind = s.function.kind;
  const bool exponential = kind == ActivationKind::sigmoid || kind == ActivationKind::tanh || kind == ActivationKind::silu;
  return stream_seconds(8 * count, m) + (exponential ? 8e-9 : 1 / m.flops) * count + kCallSeconds;
}

}  // namespace

#define KONV_UNARY(name, isa, refuse, cost) extern const UnaryCode name##_code;
#include "kernels/cpu/eltwise/unary_kernels.inc"
#undef KONV_UNARY

std::span<const UnaryKernel> unary_kernels() {
  static const UnaryKernel kernels[] = {
#define KONV_UNARY(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/eltwise/unary_kernels.inc"
#undef KONV_UNARY
  };
  return kernels;
}

}  // namespace konv
