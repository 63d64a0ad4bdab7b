#include "engine/compress/pack.h"

#include <konv/error.hpp>

namespace konv::compress {

DType signed_type(int bits) {
  switch (bits) {
    case 2: return DType::int2;
    case 4: return DType::int4;
    case 8: return DType::int8;
    case 16: return DType::int16;
    default: throw Error("weights of " + std::to_string(bits) + " bits; expected 2, 4, 8 or 16");
  }
}

Tensor pack_integers(DType type, Dims dims, std::span<const std::int32_t> values) {
  MutableTensor tensor(type, std::move(dims));
  auto* bytes = reinterpret_cast<std::uint8_t*>(tensor.bytes.get());
  const auto width = static_cast<std::size_t>(bits(type));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (width == 16) {
      reinterpret_cast<std::int16_t*>(bytes)[i] = static_cast<std::int16_t>(values[i]);
      continue;
    }
    const std::size_t bit = i * width;
    const unsigned field = static_cast<unsigned>(values[i]) & ((1u << width) - 1);
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | field << bit % 8);
  }
  return tensor;
}

}  // namespace konv::compress
