#include "kernels/cpu/gemm/gemm.h"

#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_gemm_nothing(const GemmShape&) { return nullptr; }

double cost_gemm_packed(const GemmShape& s, const Machine& m) {
  // One row needs no packing.
  const double packed = s.m == 1 ? 0 : 8.0 * static_cast<double>(s.batch * (s.m * s.k + s.k * s.n)) / m.l2_bandwidth;
  const double efficiency = 0.75 * loop_share(static_cast<double>(s.m), 2) * loop_share(static_cast<double>(s.n), 16);
  const double bytes = 4.0 * static_cast<double>(s.batch * (s.m * s.k + s.k * s.n + s.m * s.n));
  return 2.0 * static_cast<double>(s.macs()) / (m.flops * efficiency) + packed + stream_seconds(bytes, m) + kCallSeconds;
}

#if KONV_HAVE_OPENBLAS
/// Built serially, OpenBLAS must not be entered by two threads (see openblas.cpp), so no other core helps.
const char* refuse_gemm_openblas(const GemmShape& s) {
  if (!s.unit_stride_a) return "a has no unit stride";
  if (!s.unit_stride_b) return "b has no unit stride";
  if (!s.unit_stride_out) return "the output has no unit stride";
  constexpr std::int64_t limit = INT32_MAX;
  if (s.m > limit || s.n > limit || s.k > limit) return "too large for 32-bit BLAS sizes";
  return nullptr;
}

double cost_gemm_openblas(const GemmShape& s, const Machine& m) { return 2 * cost_gemm_packed(s, m); }
#endif

double cost_gemm_last_resort(const GemmShape& s, const Machine&) { return kNaiveSeconds * static_cast<double>(s.macs()) + kCallSeconds; }

}  // namespace

#define KONV_GEMM(name, isa, refuse, cost) extern const GemmCode name##_code;
#include "kernels/cpu/gemm/gemm_kernels.inc"
#undef KONV_GEMM

std::span<const GemmKernel> gemm_kernels() {
  static const GemmKernel kernels[] = {
#define KONV_GEMM(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/gemm/gemm_kernels.inc"
#undef KONV_GEMM
  };
  return kernels;
}

}  // namespace konv
