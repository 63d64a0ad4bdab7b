#include "engine/graph/fields.h"

#include <array>

namespace konv {

std::span<const char* const> enum_names(ActivationKind) {
  static constexpr const char* kNames[] = {"none", "relu", "leaky_relu", "clip", "sigmoid", "hard_sigmoid", "hard_swish", "tanh", "silu"};
  return kNames;
}

std::span<const char* const> enum_names(AutoPad) {
  static constexpr const char* kNames[] = {"explicit", "same_upper", "same_lower", "valid"};
  return kNames;
}

std::span<const char* const> enum_names(BinaryKind) {
  static constexpr const char* kNames[] = {"add", "sub", "mul", "div"};
  return kNames;
}

std::span<const char* const> enum_names(PoolKind) {
  static constexpr const char* kNames[] = {"max", "average"};
  return kNames;
}

std::span<const char* const> enum_names(ReduceKind) {
  static constexpr const char* kNames[] = {"mean", "sum", "max", "min"};
  return kNames;
}

std::span<const char* const> enum_names(PadMode) {
  static constexpr const char* kNames[] = {"constant", "reflect", "edge"};
  return kNames;
}

std::span<const char* const> enum_names(DType) {
  static const std::array<const char*, kDTypeCount> names = [] {
    std::array<const char*, kDTypeCount> all{};
    for (int i = 0; i < kDTypeCount; ++i) all[static_cast<std::size_t>(i)] = name(static_cast<DType>(i));
    return all;
  }();
  return names;
}

}  // namespace konv
