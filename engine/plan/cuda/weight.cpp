#include "engine/plan/cuda/weight.h"

namespace konv::plan {

std::vector<float> weight_values(const Graph& graph, ValueId id) {
  const Tensor* tensor = graph.constant(id);
  if (!tensor || tensor->dtype != DType::float32 || graph.value(id).quantization) return {};
  const std::optional<KeptRows>& kept = graph.value(id).kept_rows;
  if (!kept) return {tensor->f32().begin(), tensor->f32().end()};
  const std::int64_t rows = element_count(kept->dense_dims) / kept->dense_dims[0], kept_count = std::ssize(kept->rows);
  std::vector<float> dense(static_cast<std::size_t>(element_count(kept->dense_dims)));
  for (std::int64_t o = 0; o < kept->dense_dims[0]; ++o) {
    for (std::int64_t i = 0; i < kept_count; ++i)
      dense[static_cast<std::size_t>(o * rows + kept->rows[static_cast<std::size_t>(i)])] =
          tensor->f32()[static_cast<std::size_t>(o * kept_count + i)];
  }
  return dense;
}

Dims dense_weight_dims(const Graph& graph, ValueId id) {
  if (graph.value(id).kept_rows) return graph.value(id).kept_rows->dense_dims;
  const Tensor* tensor = graph.constant(id);
  return tensor ? tensor->dims : Dims{};
}

ConvShape product_shape(const GemmShape& s) { return {.batch = s.m, .in_channels = s.k, .in_h = 1, .in_w = 1, .out_channels = s.n}; }

std::vector<float> product_weight(const GemmStep& step, const std::vector<float>& b) {
  const std::int64_t n = step.shape.n, k = step.shape.k;
  std::vector<float> weight(b.size());
  for (std::int64_t o = 0; o < n; ++o) {
    for (std::int64_t i = 0; i < k; ++i)
      weight[static_cast<std::size_t>(o * k + i)] = step.alpha * b[static_cast<std::size_t>(step.transpose_b ? o * k + i : i * n + o)];
  }
  return weight;
}

}  // namespace konv::plan
