#include "engine/graph/fields.h"

#include <array>

namespace konv {

std::span<const char* const> enum_names(ActivationKind) {
  static constexpr const char* kNames[] = {"none", "relu", "leaky_relu", "clip", "sigmoid",  "hard_sigmoid", "hard_swish",
                                           "tanh", "silu", "elu",        "selu", "softplus", "gelu",         "gelu_tanh",
                                           "mish", "erf",  "sqrt",       "exp",  "log",      "abs",          "neg"};
  return kNames;
}

std::span<const char* const> enum_names(AutoPad) {
  static constexpr const char* kNames[] = {"explicit", "same_upper", "same_lower", "valid"};
  return kNames;
}

std::span<const char* const> enum_names(BinaryKind) {
  static constexpr const char* kNames[] = {"add", "sub", "mul", "div", "pow", "min", "max", "prelu", "equal", "less", "greater"};
  return kNames;
}

std::span<const char* const> enum_names(PoolKind) {
  static constexpr const char* kNames[] = {"max", "average", "lp", "max_index"};
  return kNames;
}

std::span<const char* const> enum_names(ReduceKind) {
  static constexpr const char* kNames[] = {"mean", "sum", "max", "min", "prod", "l1", "l2", "log_sum", "log_sum_exp", "sum_square"};
  return kNames;
}

std::span<const char* const> enum_names(PadMode) {
  static constexpr const char* kNames[] = {"constant", "reflect", "edge", "wrap"};
  return kNames;
}

std::span<const char* const> enum_names(TopKPart) {
  static constexpr const char* kNames[] = {"values", "indices"};
  return kNames;
}

std::span<const char* const> enum_names(DepthOrder) {
  static constexpr const char* kNames[] = {"dcr", "crd"};
  return kNames;
}

std::span<const char* const> enum_names(ResizeMode) {
  static constexpr const char* kNames[] = {"nearest", "linear", "cubic"};
  return kNames;
}

std::span<const char* const> enum_names(ResizeCoordinates) {
  static constexpr const char* kNames[] = {"half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
                                           "align_corners", "asymmetric",           "tf_crop_and_resize"};
  return kNames;
}

std::span<const char* const> enum_names(ResizeRounding) {
  static constexpr const char* kNames[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  return kNames;
}

std::span<const char* const> enum_names(ResizePolicy) {
  static constexpr const char* kNames[] = {"stretch", "not_larger", "not_smaller"};
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
