#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/traffic.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

const char* refuse_unary_other(const UnaryShape& s) { return s.dtype == DType::float32 ? nullptr : "not float32"; }

const char* refuse_unary_packed(const UnaryShape& s) {
  const ActivationKind kind = s.function.kind;
  const bool exact = kind == ActivationKind::none || kind == ActivationKind::relu || kind == ActivationKind::clip ||
                     kind == ActivationKind::abs || kind == ActivationKind::neg;
  if (!is_float(s.dtype) && !exact) return "a function of real numbers";
  return refuse_packed(s.dtype);
}

/// Functions that are some ten multiplications and more.
bool is_exponential(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::sigmoid:
    case ActivationKind::tanh:
    case ActivationKind::silu:
    case ActivationKind::elu:
    case ActivationKind::selu:
    case ActivationKind::softplus:
    case ActivationKind::gelu:
    case ActivationKind::gelu_tanh:
    case ActivationKind::mish:
    case ActivationKind::erf:
    case ActivationKind::exp:
    case ActivationKind::log: return true;
    default: return false;
  }
}

double cost_unary(const UnaryShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.count);
  return stream_seconds(8 * count, m) + (is_exponential(s.function.kind) ? 8e-9 : 1 / m.flops) * count + kCallSeconds;
}

double cost_unary_last_resort(const UnaryShape& s, const Machine& m) {
  return cost_unary(s, m) + 4 * kNaiveSeconds * static_cast<double>(s.count);
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
