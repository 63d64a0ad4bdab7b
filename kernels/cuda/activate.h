// Activation on the device: the formulas of kernels/base/activation.h.
#pragma once

#include "kernels/base/activation.h"
#include "kernels/cuda/device.h"

namespace konv::cuda {

/// log(1 + exp(x)) without overflow.
KONV_DEVICE float softplus_of(float x) { return (x > 0.0f ? x : 0.0f) + log1pf(expf(-fabsf(x))); }

KONV_DEVICE float activate(const Activation& a, float x) {
  switch (a.kind) {
    case ActivationKind::none: return x;
    case ActivationKind::relu: return x < 0.0f ? 0.0f : x;
    case ActivationKind::leaky_relu: return x < 0.0f ? a.alpha * x : x;
    case ActivationKind::clip: {
      const float y = x < a.alpha ? a.alpha : x;
      return y > a.beta ? a.beta : y;
    }
    case ActivationKind::sigmoid: return 1.0f / (1.0f + expf(-x));
    case ActivationKind::hard_sigmoid: {
      const float y = a.alpha * x + a.beta;
      return y < 0.0f ? 0.0f : (y > 1.0f ? 1.0f : y);
    }
    case ActivationKind::hard_swish: {
      const float y = x / 6.0f + 0.5f;
      return x * (y < 0.0f ? 0.0f : (y > 1.0f ? 1.0f : y));
    }
    case ActivationKind::tanh: return tanhf(x);
    case ActivationKind::silu: return x / (1.0f + expf(-x));
    case ActivationKind::elu: return x < 0.0f ? a.alpha * expm1f(x) : x;
    case ActivationKind::selu: return a.beta * (x > 0.0f ? x : a.alpha * expm1f(x));
    case ActivationKind::softplus: return softplus_of(x);
    case ActivationKind::gelu: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case ActivationKind::gelu_tanh: return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case ActivationKind::mish: return x * tanhf(softplus_of(x));
    case ActivationKind::erf: return erff(x);
    case ActivationKind::sqrt: return sqrtf(x);
    case ActivationKind::exp: return expf(x);
    case ActivationKind::log: return logf(x);
    case ActivationKind::abs: return fabsf(x);
    case ActivationKind::neg: return -x;
  }
  return x;
}

}  // namespace konv::cuda
