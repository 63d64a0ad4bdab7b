#include "engine/graph/weights.h"

namespace konv {
namespace {

const Dims& dense_dims(const Value& value) { return value.kept_rows ? value.kept_rows->dense_dims : value.constant->dims; }

/// [Cout, kept] to [Cout, K], zeros where rows were removed.
template <class T>
std::vector<T> expanded(const Value& value, std::vector<T> compact) {
  if (!value.kept_rows) return compact;
  const KeptRows& kept = *value.kept_rows;
  const std::int64_t outputs = kept.dense_dims.front(), k = outputs ? element_count(kept.dense_dims) / outputs : 0;
  std::vector<T> dense(static_cast<std::size_t>(outputs * k));
  auto from = compact.begin();
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (const std::int32_t row : kept.rows) dense[static_cast<std::size_t>(o * k + row)] = *from++;
  }
  return dense;
}

/// Neighbouring elements that share a scale.
std::int64_t scale_run(const Quantization& q, const Dims& dims) {
  std::int64_t run = 1;
  for (std::size_t d = q.scale.size() == 1 ? 0 : static_cast<std::size_t>(q.axis) + 1; d < dims.size(); ++d) run *= dims[d];
  return run;
}

/// Calls f(scale, begin, end) for every run of elements that share a scale.
template <class F>
void each_scale(const Quantization& q, const Dims& dims, F f) {
  const auto all = static_cast<std::size_t>(element_count(dims)), run = static_cast<std::size_t>(scale_run(q, dims));
  std::size_t scale = 0;
  for (std::size_t begin = 0; begin < all; begin += run, scale = (scale + 1) % q.scale.size()) f(scale, begin, begin + run);
}

}  // namespace

std::size_t scale_index(const Quantization& q, const Dims& dims, std::int64_t index) {
  return static_cast<std::size_t>(index / scale_run(q, dims)) % q.scale.size();
}

std::vector<std::int64_t> integer_weights(const Value& value) {
  std::vector<std::int64_t> stored = to_i64(*value.constant);
  const Quantization& q = *value.quantization;
  const Dims& dims = value.constant->dims;  // compact weights keep the output channels, the axis of all pruned ones
  each_scale(q, dims, [&](std::size_t scale, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) stored[i] -= q.zero_point[scale];
  });
  return expanded(value, std::move(stored));
}

bool is_bfloat16(const Value& value) {
  if (!value.constant || value.constant->dtype != DType::bfloat16) return false;
  return !value.quantization || value.quantization->scale == std::vector<float>{1};
}

Tensor real_weights(const Value& value) {
  const Tensor& tensor = *value.constant;
  if (tensor.dtype == DType::float32 && !value.kept_rows) return tensor;
  const Dims& dims = dense_dims(value);
  if (!value.quantization) return make_f32(dims, expanded(value, to_f32(tensor)));
  const Quantization& q = *value.quantization;
  std::vector<float> reals;
  if (is_float(tensor.dtype)) {
    reals = expanded(value, to_f32(tensor));
  } else {
    const std::vector<std::int64_t> integers = integer_weights(value);
    reals.assign(integers.begin(), integers.end());
  }
  each_scale(q, dims, [&](std::size_t scale, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) reals[i] *= q.scale[scale];
  });
  return make_f32(dims, reals);
}

}  // namespace konv
