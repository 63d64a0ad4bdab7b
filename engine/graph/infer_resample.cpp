// Resampling, and the way between real numbers and integers.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/graph/infer_node.h"

namespace konv {
namespace {

[[noreturn]] void fail(const std::string& node, const std::string& fact, const std::string& expected) {
  throw Error(fmt::format("{}: {}; expected {}", node, fact, expected));
}

/// The listed axes of a Resize, all when none are listed.
Ints resized_axes(const std::string& node, const Resize& op, std::size_t rank) {
  Ints axes;
  for (const std::int64_t axis : op.axes) axes.push_back(normalize_axis(node, axis, static_cast<std::int64_t>(rank)));
  for (std::size_t i = 0; op.axes.empty() && i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i));
  return axes;
}

void expect_entries(const std::string& node, const char* what, std::size_t count, std::size_t expected) {
  if (count != expected) fail(node, fmt::format("{} {}", count, what), fmt::format("{}", expected));
}

}  // namespace

std::vector<ResizedAxis> resize_geometry(const std::string& node, const Resize& op, const Dims& dims, const std::vector<double>* roi,
                                         const std::vector<double>* scales, const Ints* sizes) {
  const Ints axes = resized_axes(node, op, dims.size());
  std::vector<ResizedAxis> geometry(dims.size());
  for (std::size_t i = 0; i < dims.size(); ++i) geometry[i].size = dims[i];
  const bool crops = op.coordinates == ResizeCoordinates::tf_crop_and_resize;
  if (crops && !roi) fail(node, "no region of interest", "one (tf_crop_and_resize)");
  if (crops) expect_entries(node, "entries of the region of interest", roi->size(), 2 * axes.size());
  if (scales) expect_entries(node, "scales", scales->size(), axes.size());
  if (sizes) expect_entries(node, "sizes", sizes->size(), axes.size());
  double common = 0;  // one scale for all where proportions are kept
  for (std::size_t i = 0; sizes && i < axes.size(); ++i) {
    const double scale =
        static_cast<double>((*sizes)[i]) / static_cast<double>(std::max<std::int64_t>(1, dims[static_cast<std::size_t>(axes[i])]));
    const bool first = i == 0;
    common = first ? scale : op.policy == ResizePolicy::not_larger ? std::min(common, scale) : std::max(common, scale);
  }
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(axes[i]);
    ResizedAxis& g = geometry[axis];
    const auto size = static_cast<double>(dims[axis]);
    if (crops) {
      g.roi_start = (*roi)[i];
      g.roi_end = (*roi)[i + axes.size()];
    }
    double wanted = 0;
    if (scales) {
      g.scale = (*scales)[i];
      if (!(g.scale > 0)) fail(node, fmt::format("scale {}", g.scale), "a positive one");
      wanted = std::floor(size * (crops ? g.roi_end - g.roi_start : 1.0) * g.scale);
    } else if (op.policy == ResizePolicy::stretch) {
      wanted = static_cast<double>((*sizes)[i]);
      g.scale = wanted / std::max(1.0, size);
    } else {
      g.scale = common;
      wanted = std::floor(common * size + 0.5);
    }
    if (!(wanted >= 0 && wanted < static_cast<double>(kMostElements))) fail(node, fmt::format("size {}", wanted), "0 up to 2^40");
    g.size = static_cast<std::int64_t>(wanted);
    if (g.size > 0 && dims[axis] == 0) fail(node, "resizes nothing to something", "elements to resize");
  }
  return geometry;
}

Fact infer_op(const Resize& op, const NodeFacts& node) {
  if (node.real_type(0) == DType::boolean && op.mode != ResizeMode::nearest) node.fail("input is bool", "numbers, or mode nearest");
  const Shape* input = node.shape(Resize::kInput);
  const bool by_scales = node.has(Resize::kScales), by_sizes = node.has(Resize::kSizes);
  if (by_scales == by_sizes) node.fail(by_scales ? "scales and sizes" : "neither scales nor sizes", "one of them");
  if (by_sizes) node.expect_integers(Resize::kSizes, "sizes");
  if (!input) return like_input(node, {});
  const std::optional<Ints> sizes = node.numbers(Resize::kSizes);
  const std::vector<double>*scales = node.reals(Resize::kScales), *roi = node.reals(Resize::kRoi);
  Shape output(input->size());
  const Ints axes = resized_axes(node.who(), op, input->size());
  for (std::size_t i = 0; i < input->size(); ++i) {
    if (std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) == axes.end()) output[i] = (*input)[i];
  }
  const bool crops = op.coordinates == ResizeCoordinates::tf_crop_and_resize;
  if ((by_scales && !scales) || (by_sizes && !sizes) || (crops && !roi)) return like_input(node, output);
  // Unknown sizes stand for 1 in the geometry and stay unknown, but for those that keep theirs or are given one.
  Dims dims;
  for (const Dim& dim : *input) dims.push_back(dim.known() ? dim.value() : 1);
  const std::vector<ResizedAxis> geometry = resize_geometry(node.who(), op, dims, roi, scales, sizes ? &*sizes : nullptr);
  for (std::size_t i = 0; i < output.size(); ++i) {
    const bool given = by_sizes && op.policy == ResizePolicy::stretch;
    if ((*input)[i].known() || given) output[i] = geometry[i].size;
    if (!(*input)[i].known() && by_scales && geometry[i].scale == 1 && !crops) output[i] = (*input)[i];
  }
  return like_input(node, output);
}

namespace {

/// Scale and zero point lie as the data asks for.
void expect_scales(const NodeFacts& node, std::int64_t axis, std::int64_t block) {
  constexpr int kScale = Quantize::kScale, kZero = Quantize::kZero;
  if (!is_float(node.in(kScale).dtype)) node.fail(fmt::format("scale is {}", name(node.in(kScale).dtype)), "floats");
  const Shape *input = node.shape(0), *scale = node.shape(kScale), *zero = node.has(kZero) ? node.shape(kZero) : nullptr;
  if (scale && zero && fully_known(*scale) && fully_known(*zero) && element_count(to_dims(*scale)) != element_count(to_dims(*zero))) {
    node.fail(fmt::format("scale is {} and zero point {}", to_string(*scale), to_string(*zero)), "equally many");
  }
  if (!input || !scale || !fully_known(*scale)) return;
  const std::int64_t count = element_count(to_dims(*scale));
  if (count == 1 && block == 0) return;
  const auto at = static_cast<std::size_t>(normalize_axis(node.who(), axis, std::ssize(*input)));
  if (block == 0) {
    if (scale->size() != 1 || !agreed((*scale)[0], (*input)[at])) {
      node.fail("scale is " + to_string(*scale), fmt::format("one element, or {} (axis {})", to_string(Shape{(*input)[at]}), at));
    }
    return;
  }
  Shape expected = *input;
  if (expected[at].known()) expected[at] = (expected[at].value() + block - 1) / block;
  bool fits = scale->size() == expected.size();
  for (std::size_t i = 0; fits && i < expected.size(); ++i) fits = agreed((*scale)[i], expected[i]).has_value();
  if (!fits) node.fail("scale is " + to_string(*scale), fmt::format("{} (blocks of {} along axis {})", to_string(expected), block, at));
}

bool is_quantized_type(DType type) { return !is_float(type) && type != DType::boolean && bits(type) <= 32 && type != DType::uint32; }

}  // namespace

Fact infer_op(const Quantize& op, const NodeFacts& node) {
  if (!is_float(node.in(0).dtype) && node.in(0).dtype != DType::int32)
    node.fail(fmt::format("input is {}", name(node.in(0).dtype)), "floats");
  if (!is_quantized_type(op.to)) node.fail(fmt::format("quantizes to {}", name(op.to)), "an integer of 2 to 32 bits");
  if (node.has(Quantize::kZero) && node.in(Quantize::kZero).dtype != op.to) {
    node.fail(fmt::format("zero point is {}", name(node.in(Quantize::kZero).dtype)), name(op.to));
  }
  expect_scales(node, op.axis, op.block);
  return {op.to, node.in(0).shape, {}, {}};
}

Fact infer_op(const Dequantize& op, const NodeFacts& node) {
  if (!is_quantized_type(node.in(0).dtype)) node.fail(fmt::format("input is {}", name(node.in(0).dtype)), "an integer of 2 to 32 bits");
  if (!is_float(op.to)) node.fail(fmt::format("dequantizes to {}", name(op.to)), "a float type");
  if (node.has(Dequantize::kZero) && node.in(Dequantize::kZero).dtype != node.in(0).dtype) {
    node.fail(fmt::format("zero point is {}", name(node.in(Dequantize::kZero).dtype)),
              fmt::format("{} as the input", name(node.in(0).dtype)));
  }
  expect_scales(node, op.axis, op.block);
  return {op.to, node.in(0).shape, {}, {}};
}

}  // namespace konv
