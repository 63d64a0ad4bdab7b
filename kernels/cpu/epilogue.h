// The last steps of a kernel on a row of floats: bias, residual, activation, in this order.
// Functions are static: units compiled for an instruction set must not export them.
#pragma once

#include <cstdint>

#include "kernels/base/activation.h"

namespace konv {

/// row[i] = apply(activation, row[i]), by the scalar definition; compiled once, for every instruction set.
void activate_row(const Activation& activation, float* row, std::int64_t n);

template <class F>
static inline void map_row(const float* in, float* out, std::int64_t n, const F& f) {
#pragma GCC ivdep  // `in` may be `out`
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(in[i]);
}

/// out[i] = f(in[i]); `in` may be `out`.
static inline void activate(const Activation& a, const float* in, float* out, std::int64_t n) {
  const float alpha = a.alpha, beta = a.beta;
  switch (a.kind) {
    case ActivationKind::none:
      if (in != out) map_row(in, out, n, [](float x) { return x; });
      return;
    case ActivationKind::relu: return map_row(in, out, n, [](float x) { return x < 0 ? 0.0f : x; });
    case ActivationKind::leaky_relu: return map_row(in, out, n, [=](float x) { return x < 0 ? alpha * x : x; });
    case ActivationKind::clip:
      return map_row(in, out, n, [=](float x) {
        const float y = x < alpha ? alpha : x;
        return y > beta ? beta : y;
      });
    case ActivationKind::hard_sigmoid:
      return map_row(in, out, n, [=](float x) {
        const float y = alpha * x + beta;
        const float z = y > 1 ? 1.0f : y;
        return y < 0 ? 0.0f : z;
      });
    case ActivationKind::hard_swish:
      return map_row(in, out, n, [](float x) {
        const float y = x / 6.0f + 0.5f;
        const float z = y > 1 ? 1.0f : y;
        return x * (y < 0 ? 0.0f : z);
      });
    case ActivationKind::sqrt: return map_row(in, out, n, [](float x) { return __builtin_sqrtf(x); });
    case ActivationKind::abs: return map_row(in, out, n, [](float x) { return __builtin_fabsf(x); });
    case ActivationKind::neg: return map_row(in, out, n, [](float x) { return -x; });
    case ActivationKind::sigmoid:
    case ActivationKind::tanh:
    case ActivationKind::silu:
    case ActivationKind::elu:
    case ActivationKind::selu:
    case ActivationKind::softplus:
    case ActivationKind::gelu:
    case ActivationKind::gelu_tanh:
    case ActivationKind::mish:
    case ActivationKind::erf:
    case ActivationKind::exp:
    case ActivationKind::log: break;
  }
  if (in != out) map_row(in, out, n, [](float x) { return x; });
  activate_row(a, out, n);
}

/// out[i] = activation(sum[i] + bias + residual[i]); `sum` may be `out`, `residual` may be null or `out`.
static inline void epilogue_row(const float* sum, float* out, std::int64_t n, float bias, const float* residual, const Activation& a) {
  const bool relu = a.kind == ActivationKind::relu;
  if (residual) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      const float x = sum[i] + bias + residual[i];
      out[i] = relu && x < 0 ? 0.0f : x;
    }
  } else {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      const float x = sum[i] + bias;
      out[i] = relu && x < 0 ? 0.0f : x;
    }
  }
  if (!relu) activate(a, out, out, n);
}

/// The same for rows whose elements lie apart; for kernels that do not care for speed.
static inline void epilogue_strided(const float* sum, float* out, std::int64_t out_step, std::int64_t n, float bias, const float* residual,
                                    std::int64_t residual_step, const Activation& a) {
  float part[64];
  for (std::int64_t begin = 0; begin < n; begin += 64) {
    const std::int64_t count = n - begin < 64 ? n - begin : 64;
    for (std::int64_t i = 0; i < count; ++i) {
      part[i] = sum[begin + i] + bias;
      if (residual) part[i] += residual[(begin + i) * residual_step];
    }
    activate(a, part, part, count);
    for (std::int64_t i = 0; i < count; ++i) out[(begin + i) * out_step] = part[i];
  }
}

}  // namespace konv
