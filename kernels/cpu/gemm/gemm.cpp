#include "kernels/cpu/gemm/gemm.h"

#include "kernels/base/bfloat16.h"
#include "kernels/cpu/gemm/batch.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_gemm_nothing(const GemmShape&) { return nullptr; }

const char* refuse_gemm_dots(const GemmShape& s) { return s.k_innermost ? nullptr : "k does not lie innermost in a and b"; }

const char* refuse_gemm_dots_wbf16(const GemmShape& s) {
  return s.constant_b ? nullptr : "b is no constant, or k does not lie innermost in a";
}

double cost_gemm_packed(const GemmShape& s, const Machine& m) {
  // One row needs no packing. Columns of b that lie along k are packed element by element, and then one row of them is summed in dribbles.
  const double elements = static_cast<double>(s.batch * (s.m * s.k + s.k * s.n));
  const double packed = s.m == 1 ? 0 : s.k_innermost ? 2e-9 * elements : 8.0 * elements / m.l2_bandwidth;
  const double efficiency =
      (s.m == 1 && s.k_innermost ? 0.2 : 0.75) * loop_share(static_cast<double>(s.m), 2) * loop_share(static_cast<double>(s.n), 16);
  const double bytes = 4.0 * static_cast<double>(s.batch * (s.m * s.k + s.k * s.n + s.m * s.n));
  return 2.0 * static_cast<double>(s.macs()) / (m.flops * efficiency) + packed + stream_seconds(bytes, m) + kCallSeconds;
}

/// `b_bytes`: of an element of b.
template <Isa isa>
double gemm_dots_seconds(const GemmShape& s, const Machine& m, double b_bytes) {
  // Half of the multiply-adds wait for a load, more where a single row passes; folding a sum takes as long as ten vectors of K.
  const double efficiency = s.m >= 4 ? 0.5 : 0.25;
  const double vectors = static_cast<double>(ceil_div(s.k, lanes(isa)) + 10) * lanes(isa);
  const double bytes =
      static_cast<double>(s.batch) * (4.0 * static_cast<double>(s.m * (s.k + s.n)) + b_bytes * static_cast<double>(s.k * s.n));
  return 2.0 * static_cast<double>(s.batch * s.m * s.n) * vectors / (m.flops * efficiency) + stream_seconds(bytes, m) + kCallSeconds;
}

template <Isa isa>
double cost_gemm_dots(const GemmShape& s, const Machine& m) {
  return gemm_dots_seconds<isa>(s, m, 4);
}

template <Isa isa>
double cost_gemm_dots_wbf16(const GemmShape& s, const Machine& m) {
  // Widening a vector takes as long as the multiply-adds of one row, or of two.
  const double widened = 2.0 * static_cast<double>(s.batch * ceil_div(s.m, 4) * s.k * s.n) / (0.5 * m.flops);
  return gemm_dots_seconds<isa>(s, m, 2) + widened;
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

void pack_columns(const TensorView& b, std::uint16_t* packed) {
  const std::int64_t k = b.dims[b.rank - 2], n = b.dims[b.rank - 1];
  for (std::int64_t j = 0; j < n; ++j) {
    const float* column = b.f32() + j * column_stride(b);
    for (std::int64_t p = 0; p < k; ++p) *packed++ = bfloat16_from_float(column[p * row_stride(b)]);
  }
}

TensorView packed_columns(const TensorView& b, const void* packed) {
  TensorView view = b;
  view.data = const_cast<void*>(packed);
  view.dtype = DType::bfloat16;
  for (std::int64_t& stride : view.strides) stride = 0;  // the same for the whole batch
  view.strides[b.rank - 2] = 1;
  view.strides[b.rank - 1] = b.dims[b.rank - 2];
  return view;
}

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
