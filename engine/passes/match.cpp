#include "engine/passes/match.h"

#include <algorithm>
#include <cmath>

namespace konv::passes {

bool is_plain_float(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  return value.dtype == DType::float32 && !value.quantization && !value.kept_rows;
}

const Tensor* plain_weights(const Graph& graph, ValueId id) {
  const Tensor* tensor = graph.constant(id);
  return tensor && is_plain_float(graph, id) ? tensor : nullptr;
}

NodeId only_reader(const Graph& graph, ValueId id) {
  if (graph.reader_count(id) != 1 || graph.is_output(id)) return {};
  return graph.readers(id).front();
}

std::string folded_name(const Graph& graph, ValueId id) {
  const std::string& name = graph.value(id).name;
  return name.substr(0, name.find(".folded")) + ".folded";
}

Activation* epilogue(Op& op) {
  if (auto* conv = std::get_if<Conv>(&op)) return &conv->activation;
  if (auto* conv = std::get_if<ConvTranspose>(&op)) return &conv->activation;
  if (auto* gemm = std::get_if<Gemm>(&op)) return &gemm->activation;
  if (auto* binary = std::get_if<Binary>(&op)) return &binary->activation;
  return nullptr;
}

bool certainly_equal(const std::optional<Shape>& a, const std::optional<Shape>& b) {
  if (!a || !b) return false;
  return std::equal(a->begin(), a->end(), b->begin(), b->end(), [](const Dim& x, const Dim& y) { return x.same_as(y); });
}

std::optional<ChannelAffine> channel_affine(const Graph& graph, const Node& batch_norm) {
  const Tensor* gamma = plain_weights(graph, batch_norm.input(BatchNorm::kGamma));
  const Tensor* beta = plain_weights(graph, batch_norm.input(BatchNorm::kBeta));
  const Tensor* mean = plain_weights(graph, batch_norm.input(BatchNorm::kMean));
  const Tensor* variance = plain_weights(graph, batch_norm.input(BatchNorm::kVariance));
  if (!gamma || !beta || !mean || !variance) return {};

  const double epsilon = std::get<BatchNorm>(batch_norm.op).epsilon;
  ChannelAffine affine;
  for (std::size_t c = 0; c < gamma->f32().size(); ++c) {
    const double scale = gamma->f32()[c] / std::sqrt(variance->f32()[c] + epsilon);
    if (!std::isfinite(scale)) return {};
    affine.scale.push_back(scale);
    affine.shift.push_back(beta->f32()[c] - mean->f32()[c] * scale);
  }
  return affine;
}

std::vector<double> to_doubles(const Tensor& tensor) { return {tensor.f32().begin(), tensor.f32().end()}; }

Tensor from_doubles(Dims dims, const std::vector<double>& values) {
  MutableTensor tensor(DType::float32, std::move(dims));
  for (std::size_t i = 0; i < values.size(); ++i) tensor.f32()[i] = static_cast<float>(values[i]);
  return tensor;
}

}  // namespace konv::passes
