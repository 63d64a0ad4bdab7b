// Dequantize of constant integers  =>  a constant stored in integers, for fold-constants.
//
// Integers are counted from their zero point and stored in the fewest bits that hold all of them, so that int8 tensors that use 4 bits become int4.
#include <algorithm>

#include "engine/graph/weights.h"
#include "engine/passes/quantized.h"

namespace konv::passes {

namespace {

bool is_weight_slot(const Graph& graph, NodeId reader, ValueId id) {
  static_assert(Conv::kWeight == 1 && Gemm::kB == 1 && MatMul::kB == 1);
  if (!graph.as<Conv>(reader) && !graph.as<Gemm>(reader) && !graph.as<MatMul>(reader)) return false;
  const Node& node = graph.node(reader);
  return node.input(1) == id && std::count(node.inputs.begin(), node.inputs.end(), id) == 1;
}

bool only_weights_of_layers(const Graph& graph, ValueId id) {
  const std::vector<NodeId> readers = graph.readers(id);
  return !readers.empty() && !graph.is_output(id) &&
         std::all_of(readers.begin(), readers.end(), [&](NodeId reader) { return is_weight_slot(graph, reader, id); });
}

/// Integers around zero points of 0 or -1 in the fewest bits; nothing when 8 do not hold them. `at` gives an integer's scale.
template <class ScaleAt>
std::optional<std::pair<Tensor, Quantization>> narrowest(const Dims& dims, const std::vector<std::int64_t>& integers, Quantization q,
                                                         const ScaleAt& at) {
  std::vector<std::int64_t> low(q.scale.size()), high(q.scale.size());
  for (std::size_t i = 0; i < integers.size(); ++i) {
    low[at(i)] = std::min(low[at(i)], integers[i]);
    high[at(i)] = std::max(high[at(i)], integers[i]);
  }
  for (const DType type : {DType::int2, DType::int4, DType::int8}) {
    bool fits = true;
    for (std::size_t c = 0; c < low.size(); ++c) {
      q.zero_point[c] = high[c] > most(type) ? -1 : 0;
      fits = fits && low[c] + q.zero_point[c] >= least(type) && high[c] + q.zero_point[c] <= most(type);
    }
    if (!fits) continue;
    std::vector<std::int32_t> stored(integers.size());
    for (std::size_t i = 0; i < stored.size(); ++i) stored[i] = static_cast<std::int32_t>(integers[i]) + q.zero_point[at(i)];
    return std::make_pair(pack_integers(type, dims, stored), q);
  }
  return {};
}

}  // namespace

std::optional<Edit> store_weight(const Graph& graph, NodeId id) {
  const auto* dequantize = graph.as<Dequantize>(id);
  if (!dequantize || dequantize->to != DType::float32) return {};
  const Node& node = graph.node(id);
  const Tensor* constant = graph.constant(node.input(Dequantize::kInput));
  if (!constant || graph.value(node.input(Dequantize::kInput)).quantization || bits(constant->dtype) > 8) return {};
  std::string why;
  std::optional<Quantization> q = constant_scales(graph, node, why);
  if (!q) return {};
  const bool one = q->scale.size() == 1, inside = q->axis >= 0 && q->axis < std::ssize(constant->dims);
  const std::int64_t sizes = one ? 1 : inside ? constant->dims[static_cast<std::size_t>(q->axis)] : 0;
  if (std::ssize(q->scale) != sizes) return {};

  // A weight that is transposed on its way lies transposed from now on.
  ValueId result = node.output();
  bool turned = false;
  if (const NodeId reader = only_reader(graph, result); graph.as<Transpose>(reader) && constant->dims.size() == 2) {
    const Ints& permutation = graph.as<Transpose>(reader)->permutation;
    turned = permutation.empty() || permutation == Ints{1, 0};
    if (turned) result = graph.node(reader).output();
  }
  if (!only_weights_of_layers(graph, result)) return {};

  Value value;
  value.dtype = constant->dtype;
  value.constant = *constant;
  value.quantization = *q;
  std::vector<std::int64_t> integers = integer_weights(value);
  Dims dims = constant->dims;
  if (turned) {
    const auto rows = static_cast<std::size_t>(dims[0]), columns = static_cast<std::size_t>(dims[1]);
    std::vector<std::int64_t> transposed(integers.size());
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) transposed[c * rows + r] = integers[r * columns + c];
    }
    integers = std::move(transposed);
    dims = {dims[1], dims[0]};
    if (q->scale.size() > 1) q->axis = 1 - q->axis;
  }
  const auto scale_at = [&](std::size_t i) { return scale_index(*q, dims, static_cast<std::int64_t>(i)); };
  const auto packed = narrowest(dims, integers, *q, scale_at);
  if (!packed) return {};
  Edit edit(graph);
  edit.redirect(result, edit.constant(graph.value(result).name + ".stored", packed->first, packed->second));
  return edit;
}

}  // namespace konv::passes
