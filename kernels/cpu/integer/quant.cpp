#include "kernels/cpu/integer/quant.h"

#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/element.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

bool is_known(DType type) { return type == DType::float32 || is_activation(type); }

const char* refuse_requantize(const RequantizeShape& s) {
  return is_known(s.in) && is_known(s.out) ? nullptr : "neither float32 nor integers of 8 or 16 bits";
}

double cost_requantize(const RequantizeShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.image.count());
  const double steps = s.in_block == s.out_block ? 8 / m.flops : 1e-9;  // strided elements are taken one by one
  return stream_seconds(5 * count, m) + steps * count + kCallSeconds;
}

const char* refuse_add(const IntegerAddShape& s) {
  return is_activation(s.in) && is_known(s.out) ? nullptr : "operands are no integers of 8 or 16 bits";
}

double cost_add(const IntegerAddShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.image.count());
  return stream_seconds(3 * count, m) + 12 / m.flops * count + kCallSeconds;
}

double taps(const PoolShape& s) { return static_cast<double>(s.batch * s.channels * s.out_h * s.out_w * s.kernel_h * s.kernel_w); }

const char* refuse_pool_blocked(const IntegerPoolShape& s) {
  if (s.in != DType::uint8) return "inputs are not of 8 bits";
  if (s.out != DType::uint8 && s.out != DType::float32) return "outputs are neither of 8 bits nor float32";
  return s.pool.block == kIntegerBlock ? nullptr : "not in blocks of 16 channels";
}

const char* refuse_pool_plain(const IntegerPoolShape& s) { return s.pool.block > 1 || s.out_block > 1 ? "blocked" : nullptr; }

double cost_pool_blocked(const IntegerPoolShape& s, const Machine& m) {
  const PoolShape& p = s.pool;
  const auto bytes = static_cast<double>(p.batch * p.channels * (p.in_h * p.in_w + p.out_h * p.out_w));
  return 6 * taps(p) / m.flops + stream_seconds(bytes, m) + kCallSeconds;
}

double cost_pool_reference(const IntegerPoolShape& s, const Machine&) { return kNaiveSeconds * taps(s.pool) + kCallSeconds; }

}  // namespace

#define KONV_REQUANTIZE(name, isa, refuse, cost)   extern const RequantizeCode name##_code;
#define KONV_INTEGER_ADD(name, isa, refuse, cost)  extern const IntegerAddCode name##_code;
#define KONV_INTEGER_POOL(name, isa, refuse, cost) extern const IntegerPoolCode name##_code;
#include "kernels/cpu/integer/add_kernels.inc"
#include "kernels/cpu/integer/pool_kernels.inc"
#include "kernels/cpu/integer/requantize_kernels.inc"
#undef KONV_REQUANTIZE
#undef KONV_INTEGER_ADD
#undef KONV_INTEGER_POOL

std::span<const RequantizeKernel> requantize_kernels() {
  static const RequantizeKernel kernels[] = {
#define KONV_REQUANTIZE(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/integer/requantize_kernels.inc"
#undef KONV_REQUANTIZE
  };
  return kernels;
}

std::span<const IntegerAddKernel> integer_add_kernels() {
  static const IntegerAddKernel kernels[] = {
#define KONV_INTEGER_ADD(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/integer/add_kernels.inc"
#undef KONV_INTEGER_ADD
  };
  return kernels;
}

std::span<const IntegerPoolKernel> integer_pool_kernels() {
  static const IntegerPoolKernel kernels[] = {
#define KONV_INTEGER_POOL(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/integer/pool_kernels.inc"
#undef KONV_INTEGER_POOL
  };
  return kernels;
}

}  // namespace konv
