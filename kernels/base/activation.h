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
  silu,       // x sigmoid(x)
  elu,        // x < 0 ? alpha (exp(x) - 1) : x
  selu,       // beta (x <= 0 ? alpha (exp(x) - 1) : x)
  softplus,   // log(1 + exp(x))
  gelu,       // x/2 (1 + erf(x / sqrt(2)))
  gelu_tanh,  // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  mish,       // x tanh(softplus(x))
  erf,
  sqrt,
  exp,
  log,
  abs,
  neg,
};

/// More kinds than the epilogues of fast kernels know in vectors: these go element by element.
inline constexpr int kActivationKinds = 21;

struct Activation {
  ActivationKind kind = ActivationKind::none;
  float alpha = 0;
  float beta = 0;

  friend bool operator==(const Activation&, const Activation&) = default;
};

/// log(1 + exp(x)) without overflow.
template <class T>
T softplus(T x) {
  return (x > 0 ? x : T(0)) + std::log1p(std::exp(-std::fabs(x)));
}

/// The definition that every kernel is checked against; T is float or double.
template <class T>
T apply(const Activation& a, T x) {
  const T alpha = static_cast<T>(a.alpha), beta = static_cast<T>(a.beta);
  const auto unit = [](T y) { return y < 0 ? T(0) : (y > 1 ? T(1) : y); };
  switch (a.kind) {
    case ActivationKind::none: return x;
    case ActivationKind::relu: return x < 0 ? T(0) : x;  // keeps NaN
    case ActivationKind::leaky_relu: return x < 0 ? alpha * x : x;
    case ActivationKind::clip: {  // the upper bound wins where they cross
      const T y = x < alpha ? alpha : x;
      return y > beta ? beta : y;
    }
    case ActivationKind::sigmoid: return T(1) / (T(1) + std::exp(-x));
    case ActivationKind::hard_sigmoid: return unit(alpha * x + beta);
    case ActivationKind::hard_swish: return x * unit(x / T(6) + T(0.5));
    case ActivationKind::tanh: return std::tanh(x);
    case ActivationKind::silu: return x / (T(1) + std::exp(-x));
    case ActivationKind::elu: return x < 0 ? alpha * std::expm1(x) : x;
    case ActivationKind::selu: return beta * (x > 0 ? x : alpha * std::expm1(x));
    case ActivationKind::softplus: return softplus(x);
    case ActivationKind::gelu: return T(0.5) * x * (T(1) + std::erf(x * T(0.70710678118654752440)));
    case ActivationKind::gelu_tanh: return T(0.5) * x * (T(1) + std::tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x)));
    case ActivationKind::mish: return x * std::tanh(softplus(x));
    case ActivationKind::erf: return std::erf(x);
    case ActivationKind::sqrt: return std::sqrt(x);
    case ActivationKind::exp: return std::exp(x);
    case ActivationKind::log: return std::log(x);
    case ActivationKind::abs: return std::fabs(x);
    case ActivationKind::neg: return -x;
  }
  return x;
}

}  // namespace konv
