// Elementwise functions of one argument: layers of their own and the last part of the epilogue.
#pragma once

#include <cmath>
#include <cstdint>

namespace konv {

enum class ActivationKind : std::uint8_t {
  none,
  relu,          // max(x, 0)
  leaky_relu,    // x < 0 ? alpha x : x
  clip,          // min(max(x, alpha), beta)
  sigmoid,       // 1 / (1 + exp(-x))
  hard_sigmoid,  // max(0, min(1, alpha x + beta))
  hard_swish,    // x max(0, min(1, x / 6 + 1/2))
  tanh,
  silu,  // x sigmoid(x)
};

struct Activation {
  ActivationKind kind = ActivationKind::none;
  float alpha = 0;
  float beta = 0;

  friend bool operator==(const Activation&, const Activation&) = default;
};

/// The definition that every kernel is checked against.
inline float apply(const Activation& a, float x) {
  switch (a.kind) {
    case ActivationKind::none: return x;
    case ActivationKind::relu: return x < 0 ? 0.0f : x;  // keeps NaN
    case ActivationKind::leaky_relu: return x < 0 ? a.alpha * x : x;
    case ActivationKind::clip: return x < a.alpha ? a.alpha : (x > a.beta ? a.beta : x);
    case ActivationKind::sigmoid: return 1.0f / (1.0f + std::exp(-x));
    case ActivationKind::hard_sigmoid: {
      const float y = a.alpha * x + a.beta;
      return y < 0 ? 0.0f : (y > 1 ? 1.0f : y);
    }
    case ActivationKind::hard_swish: {
      const float y = x / 6.0f + 0.5f;
      return x * (y < 0 ? 0.0f : (y > 1 ? 1.0f : y));
    }
    case ActivationKind::tanh: return std::tanh(x);
    case ActivationKind::silu: return x / (1.0f + std::exp(-x));
  }
  return x;
}

}  // namespace konv
