#include "engine/compress/narrow.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/graph/tensor.h"
#include "engine/graph/weights.h"
#include "kernels/base/bfloat16.h"

namespace konv::compress {
namespace {

constexpr float kLargestHalf = 65504;

std::uint16_t to_float16(float x) {
  const auto sign = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16 & 0x8000);
  const float size = std::min(std::fabs(x), kLargestHalf);
  int exponent = 0;
  std::frexp(size, &exponent);
  const int least = std::max(exponent - 11, -24);  // of the last bit: 11 significant ones, subnormals below 2^-14
  const auto steps = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(size, -least)));
  // Normal numbers: steps from 1024 to 2048 above the exponent's base; a carry runs into the exponent by itself.
  const std::uint32_t magnitude = steps < 1024 ? steps : (static_cast<std::uint32_t>(least + 24) << 10) + steps;
  return static_cast<std::uint16_t>(sign | magnitude);
}

}  // namespace

double narrow_weight(Graph& graph, NodeId id, DType type) {
  const ValueId old = graph.node(id).inputs.at(1);
  const Value before = graph.value(old);
  const std::vector<float> reals = to_f32(*before.constant);
  float largest = 0;
  for (const float x : reals) largest = std::max(largest, std::fabs(x));
  float scale = 1;  // a power of two above 1 only where float16 would not reach
  while (type == DType::float16 && largest / scale > kLargestHalf) scale *= 2;
  MutableTensor narrow(type, before.constant->dims);
  const std::span<std::uint16_t> to = narrow.as<std::uint16_t>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = type == DType::float16 ? to_float16(reals[i] / scale) : bfloat16_from_float(reals[i]);
  const ValueId made = graph.add_constant(before.name + "." + name(type), narrow);
  graph.value(made).quantization = Quantization{{scale}, {0}, 0};
  graph.value(made).kept_rows = before.kept_rows;
  graph.mutable_node(id).inputs[1] = made;
  graph.refresh_index();
  double signal = 0, noise = 0;
  const std::vector<float> after = to_f32(*graph.value(made).constant);
  for (std::size_t i = 0; i < reals.size(); ++i) {
    signal += std::pow(static_cast<double>(reals[i]), 2);
    noise += std::pow(static_cast<double>(reals[i]) - static_cast<double>(after[i] * scale), 2);
  }
  return 10 * std::log10(std::max(signal, 1e-30) / std::max(noise, 1e-30));
}

}  // namespace konv::compress
