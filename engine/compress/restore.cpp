#include "engine/compress/restore.h"

#include <algorithm>

#include "engine/compress/layer.h"
#include "engine/graph/weights.h"

namespace konv::compress {

bool is_quantized(const Graph& graph) {
  for (int v = 0; v < graph.value_count(); ++v) {
    if (graph.value({v}).quantization) return true;
  }
  return false;
}

Graph restored(const Graph& graph) {
  Graph real = graph;
  for (int v = 0; v < graph.value_count(); ++v) {
    Value& value = real.value({v});
    if (!value.quantization) continue;
    if (value.constant) {
      value.constant = real_weights(value);
      value.kept_rows.reset();  // rows that are gone are zeros now
      value.shape = to_shape(value.constant->dims);
    }
    value.quantization.reset();
    value.dtype = DType::float32;
  }
  verify(real);
  return real;
}

QuantizeSettings settings_of(const Graph& graph) {
  QuantizeSettings settings;
  const auto bits_of = [&](ValueId id) { return id && graph.value(id).quantization ? bits(graph.value(id).dtype) : 0; };
  int skip_bits = 0;
  for (const NodeId id : graph.nodes()) {
    const std::optional<Layer> layer = layer_of(graph, id);
    if (!layer) continue;
    LayerSettings s;
    const DType stored = graph.value(layer->weight).dtype;
    s.weight_bits = is_float(stored) ? 0 : bits_of(layer->weight);
    if (s.weight_bits == 0) s.storage = stored;
    s.activation_bits = bits_of(layer->input);
    skip_bits = std::max(skip_bits, bits_of(layer->residual));
    settings.named[graph.node(id).name] = s;
  }
  if (skip_bits > 0) settings.skip_bits = skip_bits;
  return settings;
}

}  // namespace konv::compress
