// Windows sliding over images: convolution, transposed convolution, pooling. Any number of spatial dimensions.
#include <algorithm>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/checked.h"
#include "engine/graph/infer_node.h"

namespace konv {
namespace {

/// `values`, or `count` times `otherwise` when there are none.
Ints per_dimension(const std::string& node, const char* what, const Ints& values, std::size_t count, std::int64_t otherwise) {
  if (values.empty()) return Ints(count, otherwise);
  if (values.size() != count) throw Error(fmt::format("{}: {} {}; expected {}", node, values.size(), what, count));
  return values;
}

void expect_from(const std::string& node, const char* what, const Ints& values, std::int64_t least) {
  for (const std::int64_t value : values) {
    if (value < least) throw Error(fmt::format("{}: {} {}; expected {} or more", node, what, value, least));
  }
}

/// Pixels from the first tap to the last.
std::int64_t extent(std::int64_t kernel, std::int64_t dilation) { return checked_add(checked_mul(dilation, checked_sub(kernel, 1)), 1); }

/// Begin and end of a padding of `total` pixels; the odd one goes to the end for same_upper, else to the beginning.
std::pair<std::int64_t, std::int64_t> split(std::int64_t total, AutoPad mode) {
  const std::int64_t half = total / 2;
  return mode == AutoPad::same_upper ? std::pair(half, total - half) : std::pair(total - half, half);
}

bool is_same(AutoPad mode) { return mode == AutoPad::same_upper || mode == AutoPad::same_lower; }

WindowGeometry base_geometry(const std::string& node, const Window& window, const Ints& kernel, std::size_t spatial) {
  if (kernel.size() != spatial) throw Error(fmt::format("{}: kernel has {} dimensions; expected {}", node, kernel.size(), spatial));
  WindowGeometry geometry;
  geometry.kernel = kernel;
  geometry.strides = per_dimension(node, "strides", window.strides, spatial, 1);
  geometry.dilations = per_dimension(node, "dilations", window.dilations, spatial, 1);
  expect_from(node, "kernel size", kernel, 1);
  expect_from(node, "stride", geometry.strides, 1);
  expect_from(node, "dilation", geometry.dilations, 1);
  const bool listed = window.auto_pad == AutoPad::explicit_pads;
  const Ints pads = per_dimension(node, "pads", listed ? window.pads : Ints{}, 2 * spatial, 0);
  expect_from(node, "padding", pads, 0);
  const auto middle = pads.begin() + static_cast<std::ptrdiff_t>(spatial);
  geometry.pads_begin.assign(pads.begin(), middle);
  geometry.pads_end.assign(middle, pads.end());
  return geometry;
}

/// Sizes of which there must be something: channels, pixels.
void expect_pixels(const NodeFacts& node, const Shape& shape) {
  for (std::size_t i = 1; i < shape.size(); ++i) {
    if (shape[i].known() && shape[i].value() < 1) node.fail("input is " + to_string(shape), "channels and pixels from 1");
  }
}

const Shape* image(const NodeFacts& node) {
  const Shape* input = node.shape(0);
  if (!input) return nullptr;
  if (input->size() < 3) node.fail("input is " + to_string(*input), "batch, channels and at least one spatial dimension");
  expect_pixels(node, *input);
  return input;
}

void expect_groups(const NodeFacts& node, std::int64_t groups, const Dim& channels, const char* what) {
  if (groups < 1) node.fail(fmt::format("groups {}", groups), "1 or more");
  if (channels.known() && channels.value() % groups != 0) {
    node.fail(fmt::format("{} {} channels in {} groups", channels.value(), what, groups), "groups of one size");
  }
}

void expect_bias(const NodeFacts& node, int slot, const Dim& channels) {
  if (!node.has(slot) || !node.shape(slot)) return;
  const Shape& bias = *node.shape(slot);
  if (bias.size() != 1 || !agreed(bias[0], channels)) {
    node.fail("bias is " + to_string(bias), fmt::format("one number for each of {} output channels", to_string(Shape{channels})));
  }
}

/// The kernel sizes behind the two channel dimensions of a weight; nothing when one is not known.
std::optional<Ints> spatial_kernel(const Shape& weight) {
  const Shape sizes(weight.begin() + 2, weight.end());
  if (!fully_known(sizes)) return {};
  return to_dims(sizes);
}

Shape image_shape(const Dim& batch, const Dim& channels, const Shape& spatial) {
  Shape shape{batch, channels};
  shape.insert(shape.end(), spatial.begin(), spatial.end());
  return shape;
}

Shape spatial_of(const Shape& image) { return {image.begin() + 2, image.end()}; }

void expect_residual(const NodeFacts& node, const Shape& output) {
  if (!node.has(Conv::kResidual) || !node.shape(Conv::kResidual)) return;
  const Shape& residual = *node.shape(Conv::kResidual);
  bool fits = residual.size() == output.size();
  for (std::size_t i = 0; fits && i < output.size(); ++i) fits = agreed(residual[i], output[i]).has_value();
  if (!fits) node.fail("residual is " + to_string(residual), to_string(output) + " as the output");
}

/// Input and weight of a convolution, when both ranks are known and agree.
struct Operands {
  Shape input, weight;
};

std::optional<Operands> operands(const NodeFacts& node) {
  const Shape* input = image(node);
  const Shape* weight = node.shape(Conv::kWeight);
  if (!input || !weight) return {};
  const KeptRows* kept = node.kept_rows(Conv::kWeight);
  Operands found{*input, kept ? to_shape(kept->dense_dims) : *weight};
  if (found.weight.size() != input->size()) {
    node.fail("weight is " + to_string(found.weight), fmt::format("{} dimensions as the input {}", input->size(), to_string(*input)));
  }
  return found;
}

}  // namespace

Ints kernel_of(const Dims& weight_dims) {
  if (weight_dims.size() < 3) throw Error(fmt::format("weight is {}; expected at least 3 dimensions", to_string(weight_dims)));
  return {weight_dims.begin() + 2, weight_dims.end()};
}

// Output sizes as ONNX Conv-11 and MaxPool-12 define them. With ceil_mode a last window that starts behind the image is dropped; valid padding
// ignores ceil_mode, whose two formulas are the same number there.
WindowGeometry window_geometry(const std::string& node, const Window& window, const Ints& kernel, const Shape& input, bool ceil_mode) {
  WindowGeometry g = base_geometry(node, window, kernel, input.size());
  bool unresolved = false;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const std::int64_t stride = g.strides[i], reach = extent(kernel[i], g.dilations[i]);
    if (is_same(window.auto_pad)) {
      const bool needs_size = stride != 1 && !input[i].known();
      unresolved |= needs_size;
      g.output.push_back(stride == 1 ? input[i] : input[i].known() ? Dim((checked_add(input[i].value(), stride - 1)) / stride) : Dim());
      if (needs_size) continue;
      const std::int64_t total =
          stride == 1 ? reach - 1 : checked_add(checked_mul(g.output[i].value() - 1, stride), reach) - input[i].value();
      std::tie(g.pads_begin[i], g.pads_end[i]) = split(std::max<std::int64_t>(total, 0), window.auto_pad);
      continue;
    }
    const std::int64_t padding = checked_add(g.pads_begin[i], g.pads_end[i]);
    if (!input[i].known()) {
      g.output.push_back(stride == 1 ? input[i] + Dim(checked_add(checked_sub(padding, reach), 1)) : Dim());
      continue;
    }
    const std::int64_t room = checked_sub(checked_add(input[i].value(), padding), reach);
    if (room < 0) {
      throw Error(fmt::format("{}: window of {} over {} pixels with padding {} + {}; expected at most {}", node, reach, input[i].value(),
                              g.pads_begin[i], g.pads_end[i], room + reach));
    }
    const bool round_up = ceil_mode && window.auto_pad != AutoPad::valid;
    std::int64_t size = (round_up ? checked_add(room, stride - 1) : room) / stride + 1;
    if (round_up && checked_mul(size - 1, stride) >= input[i].value() + g.pads_begin[i]) --size;
    g.output.push_back(size);
  }
  if (unresolved) {
    g.pads_begin.clear();
    g.pads_end.clear();
  }
  return g;
}

// As ONNX ConvTranspose-11. Where `output_shape` or same padding asks for more pixels than the taps reach, the padding is zero and the
// pixels behind hold the bias.
WindowGeometry transposed_geometry(const std::string& node, const ConvTranspose& op, const Ints& kernel, const Shape& input) {
  WindowGeometry g = base_geometry(node, op.window, kernel, input.size());
  const Ints extra = per_dimension(node, "output paddings", op.output_padding, input.size(), 0);
  expect_from(node, "output padding", extra, 0);
  if (!op.output_shape.empty()) expect_from(node, "output size", per_dimension(node, "output sizes", op.output_shape, input.size(), 0), 1);
  bool unresolved = false;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const std::int64_t stride = g.strides[i], reach = extent(kernel[i], g.dilations[i]);
    if (extra[i] >= std::max(stride, g.dilations[i])) {
      throw Error(
          fmt::format("{}: output padding {}; expected less than stride {} or dilation {}", node, extra[i], stride, g.dilations[i]));
    }
    const std::int64_t beyond = checked_add(extra[i], checked_sub(reach, stride));  // full output = stride * input + beyond
    const Dim full = beyond == 0 ? input[i] * Dim(stride) : input[i] * Dim(stride) + Dim(beyond);
    Dim wanted;
    if (!op.output_shape.empty()) {
      wanted = op.output_shape[i];
    } else if (is_same(op.window.auto_pad)) {
      wanted = input[i] * Dim(stride);
    } else {
      const std::int64_t cut = checked_add(g.pads_begin[i], g.pads_end[i]);
      g.output.push_back(full.known() ? full - Dim(cut) : input[i] * Dim(stride) + Dim(checked_sub(beyond, cut)));
      if (g.output[i].known() && g.output[i].value() < 1) {
        throw Error(fmt::format("{}: padding {} + {} leaves {} pixels; expected 1 or more", node, g.pads_begin[i], g.pads_end[i],
                                g.output[i].value()));
      }
      continue;
    }
    g.output.push_back(wanted);
    if (!op.output_shape.empty() && !full.known()) {
      unresolved = true;
      continue;
    }
    const std::int64_t total = op.output_shape.empty() ? beyond : checked_sub(full.value(), wanted.value());
    std::tie(g.pads_begin[i], g.pads_end[i]) = split(std::max<std::int64_t>(total, 0), op.window.auto_pad);
  }
  if (unresolved) {
    g.pads_begin.clear();
    g.pads_end.clear();
  }
  return g;
}

namespace {

Shape convolved(const NodeFacts& node, const Window& window, std::int64_t groups, const Operands& operands) {
  const auto& [input, weight] = operands;
  expect_groups(node, groups, input[1], "input");
  expect_groups(node, groups, weight[0], "output");
  if (input[1].known() && weight[1].known() && weight[1].value() != input[1].value() / groups) {
    node.fail(fmt::format("weight has {} input channels", weight[1].value()),
              fmt::format("{} (input {} / groups {})", input[1].value() / groups, input[1].value(), groups));
  }
  const std::optional<Ints> kernel = spatial_kernel(weight);
  const Shape spatial = kernel ? window_geometry(node.who(), window, *kernel, spatial_of(input)).output : Shape(input.size() - 2);
  return image_shape(input[0], weight[0], spatial);
}

}  // namespace

Fact infer_op(const Conv& op, const NodeFacts& node) {
  node.expect_floats();
  const std::optional<Operands> found = operands(node);
  if (!found) return like_input(node, {});
  const Shape output = convolved(node, op.window, op.groups, *found);
  expect_bias(node, Conv::kBias, output[1]);
  expect_residual(node, output);
  return like_input(node, output);
}

Fact infer_op(const ConvInteger& op, const NodeFacts& node) {
  node.expect_bytes(ConvInteger::kInput, ConvInteger::kInputZero, "input");
  node.expect_bytes(ConvInteger::kWeight, ConvInteger::kWeightZero, "weight");
  const std::optional<Operands> found = operands(node);
  Fact fact{DType::int32, {}, {}, {}};
  if (!found) return fact;
  fact.shape = convolved(node, op.window, op.groups, *found);
  node.expect_one_or(ConvInteger::kInputZero, "the input's zero point", {});
  node.expect_one_or(ConvInteger::kWeightZero, "the weight's zero point", (*fact.shape)[1]);
  return fact;
}

Fact infer_op(const ConvTranspose& op, const NodeFacts& node) {
  node.expect_floats();
  const std::optional<Operands> found = operands(node);
  if (!found) return like_input(node, {});
  const auto& [input, weight] = *found;
  expect_groups(node, op.groups, input[1], "input");
  if (!agreed(weight[0], input[1])) {
    node.fail(fmt::format("weight has {} input channels", weight[0].value()), fmt::format("{} as the input", input[1].value()));
  }
  const Dim channels = weight[1] * Dim(op.groups);
  expect_bias(node, ConvTranspose::kBias, channels);
  const std::optional<Ints> kernel = spatial_kernel(weight);
  const Shape spatial = kernel ? transposed_geometry(node.who(), op, *kernel, spatial_of(input)).output : Shape(input.size() - 2);
  return like_input(node, image_shape(input[0], channels, spatial));
}

Fact infer_op(const Pool& op, const NodeFacts& node) {
  const bool largest = op.kind == PoolKind::max || op.kind == PoolKind::max_index;
  if (!largest) node.expect_floats();
  if (node.real_type(0) == DType::boolean) node.fail("input is bool", "numbers");
  const DType result = op.kind == PoolKind::max_index ? DType::int64 : node.real_type(0);
  const Shape* input = image(node);
  if (!input) return {result, {}, {}, {}};
  const WindowGeometry g = window_geometry(node.who(), op.window, op.kernel, spatial_of(*input), op.ceil_mode);
  for (std::size_t i = 0; i < g.pads_begin.size(); ++i) {
    const std::int64_t reach = extent(g.kernel[i], g.dilations[i]), pad = std::max(g.pads_begin[i], g.pads_end[i]);
    if (pad >= reach) node.fail(fmt::format("padding {} around a window of {}", pad, reach), "less, so that no window sees padding only");
  }
  return {result, image_shape((*input)[0], (*input)[1], g.output), {}, {}};
}

}  // namespace konv
