#include "kernels/cpu/reduce/reduce.h"

#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_reduce_nothing(const ReduceShape&) { return nullptr; }

double cost_reduce(const ReduceShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.outputs * s.reduced);
  return stream_seconds(4 * count, m) + 4 * count / m.flops + 5e-9 * static_cast<double>(s.outputs) + kCallSeconds;
}

}  // namespace

#define KONV_REDUCE(name, isa, refuse, cost) extern const ReduceCode name##_code;
#include "kernels/cpu/reduce/reduce_kernels.inc"
#undef KONV_REDUCE

std::span<const ReduceKernel> reduce_kernels() {
  static const ReduceKernel kernels[] = {
#define KONV_REDUCE(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/reduce/reduce_kernels.inc"
#undef KONV_REDUCE
  };
  return kernels;
}

}  // namespace konv
