#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_binary_integers(const BinaryShape& s) { return s.dtype == DType::float32 ? nullptr : "not float32"; }

const char* refuse_binary_other(const BinaryShape& s) {
  const bool known = s.dtype == DType::float32 || s.dtype == DType::int32 || s.dtype == DType::int64;
  return known ? nullptr : "neither float32 nor int32 nor int64";
}

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
