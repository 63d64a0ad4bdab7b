#include "engine/passes/quantized.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace konv::passes {

bool is_stored(const Graph& graph, ValueId id) { return id && graph.value(id).quantization && !graph.value(id).constant; }

bool same_storage(const Value& a, const Value& b) {
  return a.quantization && b.quantization && a.dtype == b.dtype && a.quantization->scale == b.quantization->scale &&
         a.quantization->zero_point == b.quantization->zero_point;
}

std::optional<Quantization> constant_scales(const Graph& graph, const Node& node, std::string& why) {
  static_assert(Quantize::kScale == Dequantize::kScale && Quantize::kZero == Dequantize::kZero);
  const auto* quantize = std::get_if<Quantize>(&node.op);
  const auto* dequantize = std::get_if<Dequantize>(&node.op);
  const std::int64_t block = quantize ? quantize->block : dequantize->block;
  if (block > 0) return why = "has a scale per block", std::nullopt;
  const Tensor* scale = plain_weights(graph, node.input(Quantize::kScale));
  if (!scale) return why = "has a scale that is no float32 constant", std::nullopt;
  const ValueId zero = node.input(Quantize::kZero);
  if (zero && !graph.constant(zero)) return why = "has a zero point that is no constant", std::nullopt;

  Quantization q;
  q.scale = to_f32(*scale);
  const auto usable = [](float s) { return s > 0 && std::isfinite(s); };
  if (q.scale.empty() || !std::all_of(q.scale.begin(), q.scale.end(), usable))
    return why = "has a scale that is not positive", std::nullopt;
  const std::vector<std::int64_t> zeros = zero ? to_i64(*graph.constant(zero)) : std::vector<std::int64_t>(q.scale.size());
  if (zeros.size() != q.scale.size()) return why = "has not as many zero points as scales", std::nullopt;
  for (const std::int64_t z : zeros) {
    if (z < INT32_MIN || z > INT32_MAX) return why = fmt::format("has zero point {}", z), std::nullopt;
    q.zero_point.push_back(static_cast<std::int32_t>(z));
  }
  if (q.scale.size() == 1) return q;
  const std::optional<Shape>& shape = graph.value(node.input(0)).shape;
  if (!shape) return why = "has scales along an axis of unknown rank", std::nullopt;
  const std::int64_t axis = quantize ? quantize->axis : dequantize->axis;
  q.axis = static_cast<std::int32_t>(axis < 0 ? axis + std::ssize(*shape) : axis);
  return q;
}

std::int64_t least(DType type) {
  switch (type) {
    case DType::int16:
    case DType::int8:
    case DType::int4:
    case DType::int2: return -(std::int64_t{1} << (bits(type) - 1));
    default: return 0;
  }
}

std::int64_t most(DType type) { return least(type) + (std::int64_t{1} << bits(type)) - 1; }

std::optional<Activations> stored_activations(DType type, const Quantization& scale, std::int64_t low, std::int64_t high,
                                              std::string& why) {
  const std::string reason = fmt::format("quantizes to {}", name(type));
  switch (type) {
    case DType::uint16:
    case DType::int16:
    case DType::uint8:
    case DType::int8:
    case DType::uint4:
    case DType::int4:
    case DType::uint2:
    case DType::int2: break;
    default: return why = reason + ", which no kernel reads", std::nullopt;
  }
  if (scale.scale.size() != 1) return why = "has a scale per channel, which no kernel reads from activations", std::nullopt;
  low = std::max(low, least(type));
  high = std::min(high, most(type));
  const std::int64_t zero = scale.zero_point.front();
  if (zero < low || zero > high) return why = fmt::format("clips to {} ... {}, without its zero point {}", low, high, zero), std::nullopt;

  const std::int64_t levels = high - low + 1;
  const DType to = levels > 256 ? DType::int16 : levels > 16 ? DType::uint8 : levels > 4 ? DType::uint4 : DType::uint2;
  const std::int64_t shift = least(to) - low;
  Activations result{{to, scale}, levels == most(to) - least(to) + 1};
  result.storage.quantization.zero_point = {static_cast<std::int32_t>(zero + shift)};
  result.storage.quantization.axis = 0;
  return result;
}

}  // namespace konv::passes
