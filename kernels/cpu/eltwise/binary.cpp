#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/traffic.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

const char* refuse_binary_other(const BinaryShape& s) {
  if (s.dtype != DType::float32) return "not float32";
  if (is_comparison(s.kind)) return "a comparison";
  return s.kind == Arithmetic::pow ? "a power" : nullptr;
}

const char* refuse_binary_packed(const BinaryShape& s) { return refuse_packed(s.dtype); }

double cost_binary(const BinaryShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.count);
  return stream_seconds(12 * count, m) + count / m.flops + kCallSeconds;
}

double cost_binary_last_resort(const BinaryShape& s, const Machine& m) {
  return cost_binary(s, m) + kNaiveSeconds * static_cast<double>(s.count);
}

}  // namespace

#define KONV_BINARY(name, isa, refuse, cost) extern const BinaryCode name##_code;
#include "kernels/cpu/eltwise/binary_kernels.inc"
#undef KONV_BINARY

std::span<const BinaryKernel> binary_kernels() {
  static const BinaryKernel kernels[] = {
#define KONV_BINARY(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/eltwise/binary_kernels.inc"
#undef KONV_BINARY
  };
  return kernels;
}

}  // namespace konv
