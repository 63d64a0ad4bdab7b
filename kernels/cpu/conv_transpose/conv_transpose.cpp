#include "kernels/cpu/conv_transpose/conv_transpose.h"

#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_conv_transpose_nothing(const ConvTransposeShape&) { return nullptr; }

double cost_conv_transpose_rows(const ConvTransposeShape& s, const Machine& m) {
  const auto outputs = static_cast<double>(s.batch * s.out_channels * s.out_h * s.out_w);
  // Per multiply-add the accumulators are loaded and stored, a row's ends are scalar.
  const double share = 0.15 * loop_share(static_cast<double>(s.in_w), 8);
  return 2 * static_cast<double>(s.macs()) / (m.flops * share) + 3e-10 * outputs + kCallSeconds;
}

double cost_conv_transpose_last_resort(const ConvTransposeShape& s, const Machine&) {
  return 2 * kNaiveSeconds * static_cast<double>(s.macs()) + kCallSeconds;
}

}  // namespace

#define KONV_CONV_TRANSPOSE(name, isa, refuse, cost) extern const ConvTransposeCode name##_code;
#include "kernels/cpu/conv_transpose/conv_transpose_kernels.inc"
#undef KONV_CONV_TRANSPOSE

std::span<const ConvTransposeKernel> conv_transpose_kernels() {
  static const ConvTransposeKernel kernels[] = {
#define KONV_CONV_TRANSPOSE(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/conv_transpose/conv_transpose_kernels.inc"
#undef KONV_CONV_TRANSPOSE
  };
  return kernels;
}

}  // namespace konv
