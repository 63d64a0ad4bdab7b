// Convolution, transposed convolution and pooling: window operators over one or two spatial dimensions.
#include "engine/plan/lower.h"

#include "engine/graph/weights.h"
#include "kernels/cpu/conv/rows.h"

#include <algorithm>
#include <cmath>

#include <konv/error.hpp>

namespace konv::plan {
namespace {

/// An image's sizes; a 1-D image has height 1.
struct Image {
  std::int64_t batch, channels, h, w;
};

Image image(const Builder& b, const Node& node, ValueId id) {
  const Dims& d = b.dims(id);
  if (d.size() == 3) return {d[0], d[1], 1, d[2]};
  if (d.size() == 4) return {d[0], d[1], d[2], d[3]};
  throw Error(fmt::format("{}: '{}' has {} spatial dimensions; expected 1 to 3", describe_node(node), b.graph.value(id).name,
                          static_cast<int>(d.size()) - 2));
}

/// A window with both spatial dimensions spelled out.
struct Window2d {
  std::int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  std::int64_t top = 0, left = 0, bottom = 0, right = 0;
};

Window2d window_2d(const WindowGeometry& g) {
  Window2d w;
  const std::size_t last = g.kernel.size() - 1;
  w.kernel_w = g.kernel[last];
  w.stride_w = g.strides[last];
  w.dilation_w = g.dilations[last];
  w.left = g.pads_begin[last];
  w.right = g.pads_end[last];
  if (last == 0) return w;
  w.kernel_h = g.kernel[0];
  w.stride_h = g.strides[0];
  w.dilation_h = g.dilations[0];
  w.top = g.pads_begin[0];
  w.bottom = g.pads_end[0];
  return w;
}

/// Is this for the family of windows over any image (1 to 3 dimensions, any type)?
bool is_general(const Builder& b, const Node& node) {
  return b.dims(node.input(0)).size() == 5 || b.dtype(node.input(0)) != DType::float32;
}

/// Sizes of up to three dimensions, aligned at the end; what is missing stays 1 (or 0).
void align(const Ints& sizes, Sizes3& to) {
  if (sizes.size() > 3) return;
  std::copy(sizes.begin(), sizes.end(), std::end(to) - std::ssize(sizes));
}

void expect_volume(const Builder& b, const Node& node) {
  const std::size_t rank = b.dims(node.input(0)).size();
  if (rank < 3 || rank > 5)
    throw Error(fmt::format("{}: {} spatial dimensions; expected 1 to 3", describe_node(node), static_cast<int>(rank) - 2));
}

/// A window over an image of any type, apart from what its operator alone knows.
WindowShape window_shape(const Builder& b, const Node& node, WindowKind kind, const WindowGeometry& g) {
  expect_volume(b, node);
  const Dims &in = b.dims(node.input(0)), &out = b.dims(node.output());
  WindowShape s;
  s.kind = kind;
  s.dtype = s.weight = b.dtype(node.input(0));
  s.batch = in[0];
  s.in_channels = in[1];
  s.out_channels = out[1];
  align(Ints(in.begin() + 2, in.end()), s.in);
  align(Ints(out.begin() + 2, out.end()), s.out);
  align(g.kernel, s.kernel);
  align(g.strides, s.stride);
  align(g.dilations, s.dilation);
  align(g.pads_begin, s.pad);
  align(g.pads_end, s.pad_end);
  return s;
}

std::vector<int> read_all(Builder& b, const Node& node) {
  std::vector<int> inputs;
  for (const ValueId input : node.inputs) inputs.push_back(b.read(input, {.dense = true}));
  return inputs;
}

/// Which of a constant weight's numbers kernels may leave out: rows that pruning took away, or most of a 1x1 kernel's.
void count_weights(const Builder& b, ValueId id, ConvShape& shape) {
  const konv::Value& weight = b.graph.value(id);
  if (!weight.constant || shape.groups > 1) return;
  const bool pointwise = shape.kernel_h == 1 && shape.kernel_w == 1;
  if (!weight.kept_rows && !(pointwise && weight.dtype == DType::float32)) return;
  const Tensor dense = real_weights(weight);
  if (weight.kept_rows) shape.kept_rows = count_rows(shape, dense.f32().data());
  if (pointwise) shape.nonzeros = count_nonzeros(shape, dense.f32().data());
}

Shape spatial(const Dims& dims) { return to_shape(Dims(dims.begin() + 2, dims.end())); }

}  // namespace

ConvShape conv_shape(const Builder& b, const Node& node, const Conv& op) {
  const Image in = image(b, node, node.input(Conv::kInput));
  const Image out = image(b, node, node.output());
  const Dims& weight = b.dims(node.input(Conv::kWeight));
  const WindowGeometry geometry = window_geometry(node.name, op.window, kernel_of(weight), spatial(b.dims(node.input(Conv::kInput))));
  const Window2d w = window_2d(geometry);
  return {.batch = in.batch,
          .in_channels = in.channels,
          .in_h = in.h,
          .in_w = in.w,
          .out_channels = out.channels,
          .kernel_h = w.kernel_h,
          .kernel_w = w.kernel_w,
          .stride_h = w.stride_h,
          .stride_w = w.stride_w,
          .dilation_h = w.dilation_h,
          .dilation_w = w.dilation_w,
          .pad_top = w.top,
          .pad_left = w.left,
          .pad_bottom = w.bottom,
          .pad_right = w.right,
          .groups = op.groups};
}

/// Kernels whose errors are a larger multiple of a plain sum's are taken only when an error is allowed explicitly.
constexpr double kUsualError = 5;

/// The largest error relative to the largest output, for weights and inputs like noise: rounding errors of a sum grow with the root of its length, those of
/// its factors do not.
double expected_error(const ConvCode& code, const ConvShape& shape, bool exact_weights) {
  const double weight = code.weight_type == DType::bfloat16 && !exact_weights ? 0x1p-8 : 0;
  const double input = code.input_type == DType::bfloat16 ? 0x1p-8 : 0;
  return weight + input + code.error * 0x1p-24 * std::sqrt(static_cast<double>(shape.k()) / 64);
}

void lower(Builder& b, NodeId id, const Node& node, const Conv& op) {
  if (is_general(b, node)) {
    const Dims& in = b.dims(node.input(Conv::kInput));
    WindowStep work{window_shape(b, node, WindowKind::conv,
                                 window_geometry(node.name, op.window, kernel_of(b.dims(node.input(Conv::kWeight))), spatial(in))),
                    op.activation};
    work.shape.groups = op.groups;
    b.add(id, work, window_kernels(), read_all(b, node), b.define(node.output()));
    return;
  }
  expect_float32(b, node, node.input(Conv::kInput));
  ConvStep work{conv_shape(b, node, op), op.activation};
  count_weights(b, node.input(Conv::kWeight), work.shape);

  const bool flat = b.dims(node.output()).size() == 3;
  const ValueId weight_id = node.input(Conv::kWeight);
  const bool constant_weight = b.graph.constant(weight_id) != nullptr, exact_weights = is_bfloat16(b.graph.value(weight_id));
  const auto reject = [&](const ConvKernel& kernel) -> const char* {
    if (const char* reason = refuse_unasked(b, node, kernel.name)) return reason;
    if (flat && (kernel.code->in_block > 1 || kernel.code->out_block > 1 || kernel.code->halo)) return "the image has one dimension";
    if (!constant_weight && kernel.code->packed_bytes) return "the weight is no constant";
    if (const double allowed = b.options.max_error;
        allowed > 0 ? expected_error(*kernel.code, work.shape, exact_weights) > allowed : kernel.code->error > kUsualError)
      return allowed > 0 ? "its error may exceed --max-error" : "opt-in: its errors are many times the usual (--max-error)";
    if (const char* reason = refuse_rounding(b, weight_id, kernel.code->weight_type, kernel.code->input_type)) return reason;
    if (b.options.spare_memory && !b.options.asked_for.count(node.name) && kernel.code->packed_bytes &&
        static_cast<std::int64_t>(kernel.code->packed_bytes(work.shape)) > 2 * std::int64_t{sizeof(float)} * work.shape.weight_count())
      return "its weight is more than twice as large: --memory-limit";
    return nullptr;
  };
  const auto reorders = [&](const ConvKernel& kernel) {
    return b.reorder_seconds(node.input(Conv::kInput), blocks_of(kernel.code->in_block)) +
           b.reorder_seconds(node.input(Conv::kResidual), blocks_of(kernel.code->out_block));
  };
  const Choice<ConvKernel> choice = choose(b.options.conv_kernels, work.shape, b.machine, reject, reorders);
  if (!choice.kernel)
    throw Error(fmt::format("{}: no kernel runs it ({}); expected a shape that one takes", describe_node(node), reasons(choice.others)));

  const ConvCode& code = *choice.kernel->code;
  Need need = blocks_of(code.in_block);
  if (code.halo) need.halo = code.halo(work.shape);
  std::vector<int> inputs = {b.read(node.input(Conv::kInput), need), b.read(node.input(Conv::kWeight), {.dense = true}),
                             b.read(node.input(Conv::kBias), {.dense = true}),
                             b.read(node.input(Conv::kResidual), blocks_of(code.out_block))};
  const int output = b.define(node.output(), blocks_of(code.out_block));
  b.add(id, work, choice, std::move(inputs), output, work.shape.macs());
}

void lower(Builder& b, NodeId id, const Node& node, const ConvTranspose& op) {
  expect_volume(b, node);
  const Dims& weight = b.dims(node.input(ConvTranspose::kWeight));
  const Ints kernel = kernel_of(weight);
  const std::size_t spatial_rank = kernel.size();

  // The output size is settled by shape inference; what is cut off in front follows from it (ONNX ConvTranspose).
  Ints strides = op.window.strides, dilations = op.window.dilations, begin(spatial_rank, 0);
  strides.resize(spatial_rank, 1);
  dilations.resize(spatial_rank, 1);
  const Dims &dims_in = b.dims(node.input(0)), &dims_out = b.dims(node.output());
  const Ints sizes_in(dims_in.begin() + 2, dims_in.end()), sizes_out(dims_out.begin() + 2, dims_out.end());
  for (std::size_t i = 0; i < spatial_rank; ++i) {
    if (op.window.auto_pad == AutoPad::explicit_pads && op.output_shape.empty()) {
      if (i < op.window.pads.size()) begin[i] = op.window.pads[i];
      continue;
    }
    if (op.window.auto_pad == AutoPad::valid) continue;
    const std::int64_t extra = i < op.output_padding.size() ? op.output_padding[i] : 0;
    const std::int64_t total =
        std::max<std::int64_t>(0, strides[i] * (sizes_in[i] - 1) + extra + (kernel[i] - 1) * dilations[i] + 1 - sizes_out[i]);
    // ONNX: the odd pixel is cut off at the end for SAME_UPPER, else in front.
    begin[i] = op.window.auto_pad == AutoPad::same_upper ? total / 2 : total - total / 2;
  }

  if (is_general(b, node)) {
    WindowStep work{window_shape(b, node, WindowKind::conv_transpose, {kernel, strides, dilations, begin, Ints(spatial_rank, 0), {}}),
                    op.activation};
    work.shape.groups = op.groups;
    b.add(id, work, window_kernels(), read_all(b, node), b.define(node.output()));
    return;
  }
  const Image in = image(b, node, node.input(ConvTranspose::kInput));
  const Image out = image(b, node, node.output());
  const std::size_t last = spatial_rank - 1;
  ConvTransposeStep work;
  work.activation = op.activation;
  work.shape = {.batch = in.batch,
                .in_channels = in.channels,
                .in_h = in.h,
                .in_w = in.w,
                .out_channels = out.channels,
                .out_h = out.h,
                .out_w = out.w,
                .kernel_h = last ? kernel[0] : 1,
                .kernel_w = kernel[last],
                .stride_h = last ? strides[0] : 1,
                .stride_w = strides[last],
                .dilation_h = last ? dilations[0] : 1,
                .dilation_w = dilations[last],
                .pad_top = last ? begin[0] : 0,
                .pad_left = begin[last],
                .groups = op.groups};
  std::vector<int> inputs = {b.read(node.input(ConvTranspose::kInput)), b.read(node.input(ConvTranspose::kWeight), {.dense = true}),
                             b.read(node.input(ConvTranspose::kBias), {.dense = true})};
  b.add(id, work, conv_transpose_kernels(), std::move(inputs), b.define(node.output()), work.shape.macs());
}

PoolShape pool_shape(const Builder& b, const Node& node, const Pool& op) {
  const Image in = image(b, node, node.input(0));
  const Image out = image(b, node, node.output());
  const Window2d w = window_2d(window_geometry(node.name, op.window, op.kernel, spatial(b.dims(node.input(0))), op.ceil_mode));
  return {.average = op.kind == PoolKind::average,
          .count_include_pad = op.count_include_pad,
          .batch = in.batch,
          .channels = in.channels,
          .in_h = in.h,
          .in_w = in.w,
          .out_h = out.h,
          .out_w = out.w,
          .kernel_h = w.kernel_h,
          .kernel_w = w.kernel_w,
          .stride_h = w.stride_h,
          .stride_w = w.stride_w,
          .dilation_h = w.dilation_h,
          .dilation_w = w.dilation_w,
          .pad_top = w.top,
          .pad_left = w.left,
          .pad_bottom = w.bottom,
          .pad_right = w.right};
}

void lower(Builder& b, NodeId id, const Node& node, const Pool& op) {
  const WindowGeometry geometry = window_geometry(node.name, op.window, op.kernel, spatial(b.dims(node.input(0))), op.ceil_mode);
  const bool simple = op.kind == PoolKind::max || op.kind == PoolKind::average;
  if (is_general(b, node) || !simple) {
    constexpr WindowKind kKinds[] = {WindowKind::max, WindowKind::average, WindowKind::lp, WindowKind::max_index};
    WindowStep work{window_shape(b, node, kKinds[static_cast<int>(op.kind)], geometry), {}};
    work.shape.count_include_pad = op.count_include_pad;
    work.shape.order = op.order;
    work.shape.column_major = op.column_major;
    b.add(id, work, window_kernels(), read_all(b, node), b.define(node.output()));
    return;
  }
  PoolStep work{pool_shape(b, node, op)};
  const Need lies = b.lies(node.input(0), false);
  work.shape.block = lies.block;
  const int input = b.read(node.input(0), lies);
  b.add(id, work, pool_kernels(), {input}, b.define(node.output(), lies));
}

void lower(Builder& b, NodeId id, const Node& node, const ConvInteger& op) {
  const Dims& weight = b.dims(node.input(ConvInteger::kWeight));
  WindowStep work{window_shape(b, node, WindowKind::conv,
                               window_geometry(node.name, op.window, kernel_of(weight), spatial(b.dims(node.input(ConvInteger::kInput))))),
                  {}};
  work.shape.weight = b.dtype(node.input(ConvInteger::kWeight));
  work.shape.groups = op.groups;
  std::vector<int> inputs = {
      b.read(node.input(ConvInteger::kInput), {.dense = true}),     b.read(node.input(ConvInteger::kWeight), {.dense = true}),    -1, -1,
      b.read(node.input(ConvInteger::kInputZero), {.dense = true}), b.read(node.input(ConvInteger::kWeightZero), {.dense = true})};
  b.add(id, work, window_kernels(), std::move(inputs), b.define(node.output()));
}

}  // namespace konv::plan
