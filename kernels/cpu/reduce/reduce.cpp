#include "kernels/cpu/reduce/reduce.h"

#include "kernels/cpu/traffic.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

const char* refuse_reduce_other(const ReduceShape& s) {
  if (s.dtype != DType::float32) return "not float32";
  return s.kind > Reduction::min ? "neither mean nor sum nor maximum nor minimum" : nullptr;
}

const char* refuse_reduce_packed(const ReduceShape& s) { return refuse_packed(s.dtype); }

double cost_reduce(const ReduceShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.outputs * s.reduced);
  return stream_seconds(4 * count, m) + 4 * count / m.flops + 5e-9 * static_cast<double>(s.outputs) + kCallSeconds;
}

double cost_reduce_last_resort(const ReduceShape& s, const Machine& m) {
  return cost_reduce(s, m) + kNaiveSeconds * static_cast<double>(s.outputs * s.reduced);
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
