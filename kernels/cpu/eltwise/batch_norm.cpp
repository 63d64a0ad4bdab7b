#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_batch_norm_nothing(const BatchNormShape&) { return nullptr; }

double cost_batch_norm(const BatchNormShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.batch * s.channels * s.pixels);
  return stream_seconds(8 * count, m) + 2 * count / m.flops + kCallSeconds;
}

}  // namespace

#define KONV_BATCH_NORM(name, isa, refuse, cost) extern const BatchNormCode name##_code;
#include "kernels/cpu/eltwise/batch_norm_kernels.inc"
#undef KONV_BATCH_NORM

std::span<const BatchNormKernel> batch_norm_kernels() {
  static const BatchNormKernel kernels[] = {
#define KONV_BATCH_NORM(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/eltwise/batch_norm_kernels.inc"
#undef KONV_BATCH_NORM
  };
  return kernels;
}

}  // namespace konv
