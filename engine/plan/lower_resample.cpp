// Resampling, and the way between real numbers and integers.
#include <algorithm>
#include <cmath>

#include <konv/error.hpp>

#include "engine/plan/lower.h"

namespace konv::plan {
namespace {

/// Where output `o` lies in the input (ONNX Resize-19); nothing beyond the input of tf_crop_and_resize.
std::optional<double> coordinate(const Resize& op, const ResizedAxis& g, std::int64_t in, std::int64_t o) {
  const auto x = static_cast<double>(o), size = static_cast<double>(in);
  const double width = g.scale * size;  // of the output, before it was rounded
  switch (op.coordinates) {
    case ResizeCoordinates::half_pixel: return (x + 0.5) / g.scale - 0.5;
    case ResizeCoordinates::half_pixel_symmetric: {
      const double adjustment = static_cast<double>(g.size) / width, center = size / 2;
      return center * (1 - adjustment) + (x + 0.5) / g.scale - 0.5;
    }
    case ResizeCoordinates::pytorch_half_pixel: return width == 1 ? -0.5 : (x + 0.5) / g.scale - 0.5;
    case ResizeCoordinates::align_corners: return width == 1 ? 0 : x * (size - 1) / (width - 1);
    case ResizeCoordinates::asymmetric: return x / g.scale;
    case ResizeCoordinates::tf_crop_and_resize: {
      const double span = (g.roi_end - g.roi_start) * (size - 1);
      const double at = (width == 1 ? span / 2 : x * span / (width - 1)) + g.roi_start * (size - 1);
      if (!(at >= 0 && at <= size - 1)) return {};  // NaN is outside, too
      return at;
    }
  }
  return 0;
}

/// Keys' cubic with parameter a (1981).
double cubic(double a, double x) {
  x = std::fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

/// The weights of the taps around a point that lies `ratio` (above 0, up to 1) behind the middle left one. An even number of them.
std::vector<double> weights(const Resize& op, double scale, double ratio) {
  if (op.mode == ResizeMode::nearest) {
    bool right = ratio == 1;
    switch (op.rounding) {
      case ResizeRounding::round_prefer_floor: right = right || ratio > 0.5; break;
      case ResizeRounding::round_prefer_ceil: right = right || ratio >= 0.5; break;
      case ResizeRounding::floor: break;
      case ResizeRounding::ceil: right = true; break;
    }
    return right ? std::vector<double>{0, 1} : std::vector<double>{1, 0};
  }
  const double squeeze = op.antialias ? std::min(scale, 1.0) : 1.0, reach = op.mode == ResizeMode::linear ? 1 : 2;
  const auto first = static_cast<std::int64_t>(std::floor(-reach / squeeze)) + 1;
  std::vector<double> taps;
  double sum = 0;
  for (std::int64_t i = first; i < 2 - first; ++i) {
    const double x = (static_cast<double>(i) - ratio) * squeeze;
    taps.push_back(op.mode == ResizeMode::linear ? std::clamp(1 - std::fabs(x), 0.0, 1.0) : cubic(static_cast<double>(op.cubic_a), x));
    sum += taps.back();
  }
  if (op.antialias) {
    for (double& tap : taps) tap /= sum;
  }
  return taps;
}

ResizeAxis table(const Resize& op, const ResizedAxis& g, std::int64_t in) {
  ResizeAxis axis;
  bool any_outside = false;
  for (std::int64_t o = 0; o < g.size; ++o) {
    const std::optional<double> at = coordinate(op, g, in, o);
    any_outside |= !at;
    axis.outside.push_back(!at);
    const double x = at.value_or(0), base = std::ceil(x) - 1;
    std::vector<double> taps = weights(op, g.scale, x - base);
    const auto count = static_cast<std::int64_t>(taps.size());
    const std::int64_t first = static_cast<std::int64_t>(base) - count / 2 + 1;
    if (op.mode == ResizeMode::nearest) {
      axis.index.push_back(std::clamp<std::int64_t>(first + (taps[1] > 0), 0, in - 1));
      continue;
    }
    double inside = 0;
    for (std::int64_t t = 0; t < count; ++t) {
      if (op.exclude_outside && (first + t < 0 || first + t >= in)) taps[static_cast<std::size_t>(t)] = 0;
      inside += taps[static_cast<std::size_t>(t)];
    }
    for (std::int64_t t = 0; t < count; ++t) {
      axis.index.push_back(std::clamp<std::int64_t>(first + t, 0, in - 1));
      axis.weight.push_back(op.exclude_outside ? taps[static_cast<std::size_t>(t)] / inside : taps[static_cast<std::size_t>(t)]);
    }
    axis.taps = count;
  }
  if (!any_outside) axis.outside.clear();
  return axis;
}

/// Every output its own input.
ResizeAxis unchanged(std::int64_t size) {
  ResizeAxis axis;
  for (std::int64_t i = 0; i < size; ++i) axis.index.push_back(i);
  return axis;
}

}  // namespace

void lower(Builder& b, NodeId id, const Node& node, const Resize& op) {
  const Dims& in = b.dims(node.input(Resize::kInput));
  if (in.empty()) return b.alias(node, id, node.input(Resize::kInput));
  const auto roi = b.reals(node, op.coordinates == ResizeCoordinates::tf_crop_and_resize ? node.input(Resize::kRoi) : ValueId{});
  const auto scales = b.reals(node, node.input(Resize::kScales));
  std::optional<Ints> sizes;
  if (node.input(Resize::kSizes)) sizes = b.ints(node, node.input(Resize::kSizes));
  const std::vector<ResizedAxis> geometry =
      resize_geometry(describe_node(node), op, in, roi ? &*roi : nullptr, scales ? &*scales : nullptr, sizes ? &*sizes : nullptr);
  ResizeStep work;
  work.extrapolation = static_cast<double>(op.extrapolation);
  work.shape.dtype = b.dtype(node.input(Resize::kInput));
  work.shape.width = geometry.back().size;
  work.shape.rows = 1;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const ResizedAxis& g = geometry[i];
    const bool still = g.size == in[i] && g.scale == 1 && op.coordinates != ResizeCoordinates::tf_crop_and_resize;
    work.axes.push_back(still ? unchanged(in[i]) : table(op, g, in[i]));
    work.shape.taps *= work.axes.back().taps;
    if (i + 1 < in.size()) work.shape.rows *= g.size;
  }
  const int input = b.read(node.input(Resize::kInput), {.dense = true});
  b.add(id, std::move(work), resize_kernels(), {input}, b.define(node.output()));
}

namespace {

void add_quantize(Builder& b, NodeId id, const Node& node, bool dequantize, std::int64_t axis, std::int64_t block) {
  const Dims& in = b.dims(node.input(0));
  QuantizeStep work;
  QuantizeShape& s = work.shape;
  s = {.dequantize = dequantize,
       .in = b.dtype(node.input(0)),
       .out = b.dtype(node.output()),
       .scale = b.dtype(node.input(Quantize::kScale))};
  s.per_axis = block == 0 && element_count(b.dims(node.input(Quantize::kScale))) > 1;
  s.block = block;
  if (s.per_axis || block > 0) {
    const auto at = static_cast<std::size_t>(normalize_axis(node.name, axis, std::ssize(in)));
    s.size = in[at];
    s.outer = element_count(Dims(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(at)));
    s.inner = element_count(Dims(in.begin() + static_cast<std::ptrdiff_t>(at) + 1, in.end()));
  } else {
    s.size = element_count(in);
  }
  std::vector<int> inputs;
  for (int i = Quantize::kInput; i <= Quantize::kZero; ++i) inputs.push_back(b.read(node.input(i), {.dense = true}));
  b.add(id, work, quantize_kernels(), std::move(inputs), b.define(node.output()));
}

}  // namespace

void lower(Builder& b, NodeId id, const Node& node, const Quantize& op) { add_quantize(b, id, node, false, op.axis, op.block); }
void lower(Builder& b, NodeId id, const Node& node, const Dequantize& op) { add_quantize(b, id, node, true, op.axis, op.block); }

}  // namespace konv::plan
