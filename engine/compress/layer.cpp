#include "engine/compress/layer.h"

#include "engine/graph/infer.h"
#include "engine/graph/weights.h"

namespace konv::compress {
namespace {

bool is_weight(const Graph& graph, ValueId id) {
  const Tensor* constant = graph.constant(id);
  if (!constant) return false;
  return constant->dtype == DType::float32 || graph.value(id).quantization;
}

}  // namespace

std::optional<Layer> layer_of(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  Layer layer{id, node.input(0), node.input(1), node.input(2), {}, {}, false};
  if (!is_weight(graph, layer.weight) || (layer.bias && !graph.constant(layer.bias))) return {};
  if (const auto* conv = std::get_if<Conv>(&node.op)) {
    if (graph.value(layer.input).shape->size() != 4) return {};
    layer.residual = node.input(Conv::kResidual);
    layer.activation = conv->activation;
    return layer;
  }
  const auto* gemm = std::get_if<Gemm>(&node.op);
  if (!gemm || gemm->transpose_a || gemm->alpha != 1 || (layer.bias && gemm->beta != 1)) return {};
  const Dims& weight = graph.constant(layer.weight)->dims;
  if (layer.bias && graph.constant(layer.bias)->count() != weight[gemm->transpose_b ? 0 : 1]) return {};
  layer.activation = gemm->activation;
  layer.transposed = !gemm->transpose_b;
  return layer;
}

ConvShape layer_shape(const Graph& graph, const Layer& layer) {
  const Node& node = graph.node(layer.node);
  const Value& weight = graph.value(layer.weight);
  const Dims& dims = weight.kept_rows ? weight.kept_rows->dense_dims : weight.constant->dims;
  if (dims.size() == 2)
    return {.in_channels = dims[layer.transposed ? 0 : 1], .in_h = 1, .in_w = 1, .out_channels = dims[layer.transposed ? 1 : 0]};
  const auto& conv = std::get<Conv>(node.op);
  const Shape& in = *graph.value(layer.input).shape;
  const WindowGeometry g = window_geometry(node.name, conv.window, kernel_of(dims), {in.begin() + 2, in.end()});
  return {.in_channels = in[1].value(),
          .in_h = in[2].value(),
          .in_w = in[3].value(),
          .out_channels = dims[0],
          .kernel_h = g.kernel[0],
          .kernel_w = g.kernel[1],
          .stride_h = g.strides[0],
          .stride_w = g.strides[1],
          .dilation_h = g.dilations[0],
          .dilation_w = g.dilations[1],
          .pad_top = g.pads_begin[0],
          .pad_left = g.pads_begin[1],
          .pad_bottom = g.pads_end[0],
          .pad_right = g.pads_end[1],
          .groups = conv.groups};
}

Matrix layer_weights(const Graph& graph, const Layer& layer) {
  const Tensor tensor = real_weights(graph.value(layer.weight));
  const std::int64_t outputs = tensor.dims[layer.transposed ? 1 : 0], k = outputs ? tensor.count() / outputs : 0;
  Matrix w(outputs, k);
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t i = 0; i < k; ++i)
      w.at(o, i) = static_cast<double>(tensor.f32()[static_cast<std::size_t>(layer.transposed ? i * outputs + o : o * k + i)]);
  }
  return w;
}

Graph without_activation(const Graph& graph, const Layer& layer, bool linear) {
  Graph changed = graph;
  Node& node = changed.mutable_node(layer.node);
  if (auto* conv = std::get_if<Conv>(&node.op)) conv->activation = {};
  if (auto* gemm = std::get_if<Gemm>(&node.op)) gemm->activation = {};
  if (linear) node.inputs.resize(2);
  changed.refresh_index();
  return changed;
}

}  // namespace konv::compress
