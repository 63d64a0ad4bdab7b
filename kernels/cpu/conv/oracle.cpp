// Written without a glance at the kernels: plain loops over dense tensors, every sum in double.
#include <cmath>

#include "kernels/cpu/conv/conv.h"

namespace konv {
namespace {

double activated(const Activation& a, double x) {
  const double alpha = a.alpha, beta = a.beta;
  const auto unit = [](double y) { return y < 0 ? 0.0 : (y > 1 ? 1.0 : y); };
  switch (a.kind) {
    case ActivationKind::none: return x;
    case ActivationKind::relu: return x < 0 ? 0.0 : x;
    case ActivationKind::leaky_relu: return x < 0 ? alpha * x : x;
    case ActivationKind::clip: return x < alpha ? alpha : (x > beta ? beta : x);
    case ActivationKind::sigmoid: return 1 / (1 + std::exp(-x));
    case ActivationKind::hard_sigmoid: return unit(alpha * x + beta);
    case ActivationKind::hard_swish: return x * unit(x / 6 + 0.5);
    case ActivationKind::tanh: return std::tanh(x);
    case ActivationKind::silu: return x / (1 + std::exp(-x));
    default: return apply(a, x);  // the rarer ones have one definition
  }
}

}  // namespace

void conv_oracle(const ConvShape& s, const float* in, const float* weight, const float* bias, const float* residual, Activation activation,
                 double* out) {
  for (std::int64_t n = 0; n < s.batch; ++n) {
    for (std::int64_t o = 0; o < s.out_channels; ++o) {
      for (std::int64_t y = 0; y < s.out_h(); ++y) {
        for (std::int64_t x = 0; x < s.out_w(); ++x) {
          double sum = bias ? bias[o] : 0;
          for (std::int64_t c = 0; c < s.group_in(); ++c) {
            const std::int64_t channel = o / s.group_out() * s.group_in() + c;
            for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
              for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
                const std::int64_t iy = y * s.stride_h + ky * s.dilation_h - s.pad_top;
                const std::int64_t ix = x * s.stride_w + kx * s.dilation_w - s.pad_left;
                if (iy < 0 || ix < 0 || iy >= s.in_h || ix >= s.in_w) continue;
                sum += static_cast<double>(in[((n * s.in_channels + channel) * s.in_h + iy) * s.in_w + ix]) *
                       weight[((o * s.group_in() + c) * s.kernel_h + ky) * s.kernel_w + kx];
              }
            }
          }
          const std::int64_t at = ((n * s.out_channels + o) * s.out_h() + y) * s.out_w() + x;
          if (residual) sum += residual[at];
          out[at] = activated(activation, sum);
        }
      }
    }
  }
}

}  // namespace konv
