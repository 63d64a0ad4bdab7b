#include "kernels/cpu/gemm/gemm.h"

#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_gemm_nothing(const GemmShape&) { return nullptr; }

const char* refuse_gemm_dots(const GemmShape& s) { return s.k_innermost ? nullptr : "k does not lie innermost in a and b"; }

double cost_gemm_packed(const GemmShape& s, const Machine& m) {
  // One row needs no packing. Columns of b that lie along k are packed element by element, and then one row of them is summed in dribbles.
  const double elements = static_cast<double>(s.batch * (s.m * s.k + s.k * s.n));
  const double packed = s.m == 1 ? 0 : s.k_innermost ? 2e-9 * elements : 8.0 * elements / m.l2_bandwidth;
  const double efficiency =
      (s.m == 1 && s.k_innermost ? 0.2 : 0.75) * loop_share(static_cast<double>(s.m), 2) * loop_share(static_cast<double>(s.n), 16);
  const double bytes = 4.0 * static_cast<double>(s.batch * (s.m * s.k + s.k * s.n + s.m * s.n));
  return 2.0 * static_cast<double>(s.macs()) / (m.flops * efficiency) + packed + stream_seconds(bytes, m) + kCallSeconds;
}

template <Isa isa>
double cost_gemm_dots(const GemmShape& s, const Machine& m) {
  // Half of the multiply-adds wait for a load, more where a single row passes; folding a sum takes as long as ten vectors of K.
  const double efficiency = s.m >= 4 ? 0.5 : 0.25;
  const double vectors = static_cast<double>(ceil_div(s.k, lanes(isa)) + 10) * lanes(isa);
  const double bytes = 4.0 * static_cast<double>(s.batch * (s.m * s.k + s.k * s.n + s.m * s.n));
  return 2.0 * static_cast<double>(s.batch * s.m * s.n) * vectors / (m.flops * efficiency) + stream_seconds(bytes, m) + kCallSeconds;
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
