// Resampling.

#include <fmt/format.h>

#include "converter/onnx/operators.h"
#include "engine/base/text.h"

namespace konv::converter {
namespace {

/// The enum value that `text` names among `names`, in the enum's order.
template <class E, std::size_t N>
E named(NodeReader& node, const char* attribute, const char* fallback, const char* const (&names)[N]) {
  const std::string text = node.text(attribute, fallback);
  std::string all;
  for (std::size_t i = 0; i < N; ++i) {
    if (text == names[i]) return static_cast<E>(i);
    all += fmt::format("{}{}", i ? ", " : "", names[i]);
  }
  node.fail(fmt::format("{} is '{}'; expected one of {}", attribute, printable(text), all));
}

ResizeMode read_mode(NodeReader& node) {
  static constexpr const char* kNames[] = {"nearest", "linear", "cubic"};
  if (node.opset() < 9 && node.text("mode", "nearest") == "bilinear") return ResizeMode::linear;  // Upsample-7 on images
  return named<ResizeMode>(node, "mode", "nearest", kNames);
}

}  // namespace

/// Upsample, and Resize before opset 11: pixel o lies at o / scale.
void import_upsample(NodeReader& node) {
  Resize resize;
  resize.mode = read_mode(node);
  resize.coordinates = ResizeCoordinates::asymmetric;
  resize.rounding = ResizeRounding::floor;
  ValueId scales;
  if (node.opset() < 9) {
    const std::optional<std::vector<float>> given = node.reals("scales");
    if (!given) node.fail("has no scales");
    scales = node.constant("scales", make_f32({static_cast<std::int64_t>(given->size())}, *given));
  } else {
    scales = node.input(1, "scales");
  }
  node.finish(resize, {node.input(Resize::kInput, "X"), ValueId{}, scales});
}

void import_resize(NodeReader& node) {
  if (node.opset() < 11) return import_upsample(node);
  static constexpr const char* kCoordinates[] = {"half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
                                                 "align_corners", "asymmetric",           "tf_crop_and_resize"};
  static constexpr const char* kRoundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  static constexpr const char* kPolicies[] = {"stretch", "not_larger", "not_smaller"};
  Resize resize;
  resize.mode = read_mode(node);
  resize.coordinates = named<ResizeCoordinates>(node, "coordinate_transformation_mode", "half_pixel", kCoordinates);
  resize.rounding = named<ResizeRounding>(node, "nearest_mode", "round_prefer_floor", kRoundings);
  resize.cubic_a = node.real("cubic_coeff_a", -0.75f);
  resize.exclude_outside = node.flag("exclude_outside", false);
  resize.extrapolation = node.real("extrapolation_value", 0);
  if (node.opset() >= 18) {
    resize.antialias = node.flag("antialias", false);
    resize.axes = node.integers("axes").value_or(Ints{});
    resize.policy = named<ResizePolicy>(node, "keep_aspect_ratio_policy", "stretch", kPolicies);
  }
  const auto given = [&](int i, const char* what) {  // exporters write empty tensors where they mean nothing
    if (!node.has(i)) return ValueId{};
    const ValueId value = node.input(i, what);
    const Tensor* constant = node.graph().constant(value);
    return constant && constant->count() == 0 ? ValueId{} : value;
  };
  const ValueId roi = resize.coordinates == ResizeCoordinates::tf_crop_and_resize ? given(Resize::kRoi, "roi") : ValueId{};
  const ValueId scales = given(Resize::kScales, "scales");
  const ValueId sizes = given(Resize::kSizes, "sizes") ? node.int64_input(Resize::kSizes, "sizes") : ValueId{};
  node.finish(resize, {node.input(Resize::kInput, "X"), roi, scales, sizes});
}

}  // namespace konv::converter
