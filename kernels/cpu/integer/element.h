// Elements of integer tensors read and written by type, for code that does not care for speed.
#pragma once

#include <cstdint>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/integer/requantize.h"

namespace konv {

inline bool is_activation(DType type) { return type == DType::uint8 || type == DType::int16; }

inline std::int32_t integer_at(const TensorView& v, std::int64_t at) {
  return v.dtype == DType::int16 ? static_cast<const std::int16_t*>(v.data)[at] : static_cast<const std::uint8_t*>(v.data)[at];
}

/// The last steps of requantize.h: v is a real number where the output is float or the activation is no clamp.
inline void write_output(const TensorView& out, std::int64_t at, const Requantize& q, float v) {
  if (q.activation.kind != ActivationKind::none) {
    v = apply(q.activation, v);
    if (out.dtype != DType::float32) v = v * q.rescale;
  }
  switch (out.dtype) {
    case DType::float32: static_cast<float*>(out.data)[at] = v; return;
    case DType::int16: static_cast<std::int16_t*>(out.data)[at] = static_cast<std::int16_t>(requantize(q, v)); return;
    default: static_cast<std::uint8_t*>(out.data)[at] = static_cast<std::uint8_t>(requantize(q, v)); return;
  }
}

/// v of requantize.h. Sums of 16-bit products need 64 bits.
inline float to_real(const Requantize& q, std::int64_t sum, float multiplier, float offset, const TensorView& residual,
                     std::int64_t residual_at) {
  float v = static_cast<float>(sum) * multiplier;
  v = v + offset;
  if (!residual.data) return v;
  const float r = static_cast<float>(integer_at(residual, residual_at) - q.residual_zero) * q.residual_multiplier;
  return v + r;
}

}  // namespace konv
