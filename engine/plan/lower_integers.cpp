// Nodes that read or write integers standing for real numbers: real = scale (stored - zero_point), per tensor for activations, per output channel for
// weights. What has no integer kernel is an error: a model says itself, by Identity nodes, where it goes through real numbers.
#include <algorithm>

#include <konv/error.hpp>

#include "engine/graph/weights.h"
#include "engine/plan/lower.h"

namespace konv::plan {
namespace {

bool is_quantized(const Graph& graph, ValueId id) { return id && graph.value(id).quantization.has_value(); }

[[noreturn]] void refuse(const Node& node, const std::string& fact, const std::string& expected) {
  throw Error(fmt::format("{}: {}; expected {}", describe_node(node), fact, expected));
}

/// Whether activations are involved; weights alone do not make a node an integer one.
bool touches_integers(const Graph& graph, const Node& node) {
  const auto is_integer = [&](ValueId id) { return is_quantized(graph, id) && !graph.value(id).constant; };
  return std::any_of(node.inputs.begin(), node.inputs.end(), is_integer) || is_integer(node.output());
}

struct Scale {
  float scale;
  std::int32_t zero;
};

Scale scale_of(const Builder& b, const Node& node, ValueId id) {
  const konv::Value& value = b.graph.value(id);
  if (!value.quantization)
    refuse(node, fmt::format("'{}' is {}", value.name, name(value.dtype)), "quantized integers, as its other operands are");
  if (value.quantization->scale.size() != 1)
    refuse(node, fmt::format("'{}' has {} scales", value.name, value.quantization->scale.size()), "one for a whole activation");
  const DType type = value.dtype;
  if (type != DType::uint8 && type != DType::uint4 && type != DType::uint2 && type != DType::int16)
    refuse(node, fmt::format("'{}' is {}", value.name, name(type)), "activations of uint8, uint4, uint2 or int16");
  return {value.quantization->scale.front(), value.quantization->zero_point.front()};
}

/// How the node's output comes out of v, and the scale that v is counted in.
struct Output {
  Requantize requantize;
  float scale = 1;
  DType dtype = DType::float32;
};

Output output_of(const Builder& b, const Node& node, const Activation& activation) {
  Output out;
  const ValueId id = node.output();
  out.dtype = b.dtype(id);
  if (!is_quantized(b.graph, id)) {
    out.requantize.activation = activation;
    return out;
  }
  const Scale to = scale_of(b, node, id);
  out.requantize = full_range(b.graph, id);
  switch (activation.kind) {
    case ActivationKind::none: out.scale = to.scale; break;
    case ActivationKind::relu:
      out.requantize.low = std::max(out.requantize.low, 0.0f);
      out.scale = to.scale;
      break;
    case ActivationKind::clip:
      out.requantize.low = std::max(out.requantize.low, activation.alpha / to.scale);
      out.requantize.high = std::max(out.requantize.low, std::min(out.requantize.high, activation.beta / to.scale));
      out.scale = to.scale;
      break;
    default: out.requantize.activation = activation; out.requantize.rescale = 1.0f / to.scale;
  }
  return out;
}

void take_residual(const Builder& b, const Node& node, ValueId residual, Output& out) {
  if (!residual) return;
  const Scale from = scale_of(b, node, residual);
  out.requantize.residual_zero = from.zero;
  out.requantize.residual_multiplier = from.scale / out.scale;
}

const konv::Value& weight_of(const Builder& b, const Node& node, ValueId id, std::int64_t channels) {
  const konv::Value& weight = b.graph.value(id);
  if (!weight.constant || !weight.quantization)
    refuse(node, fmt::format("weight '{}' is no constant of integers", weight.name), "quantized weights");
  const Quantization& q = *weight.quantization;
  if (q.scale.size() != 1 && std::ssize(q.scale) != channels)
    refuse(node, fmt::format("weight '{}' has {} scales", weight.name, q.scale.size()),
           fmt::format("one, or one for each of {} outputs", channels));
  const bool known =
      weight.dtype == DType::int16 || weight.dtype == DType::int8 || weight.dtype == DType::int4 || weight.dtype == DType::int2;
  if (!known) refuse(node, fmt::format("weight '{}' is {}", weight.name, name(weight.dtype)), "int16, int8, int4 or int2");
  const std::int32_t most = bits(weight.dtype) == 16 ? 0 : 1;  // -1: the grid mirrored, as far up as else down
  if (std::any_of(q.zero_point.begin(), q.zero_point.end(), [&](std::int32_t z) { return z > 0 || z < -most; }))
    refuse(node, fmt::format("weight '{}' has a zero point", weight.name), "symmetric weights, or -1 where they are mirrored");
  return weight;
}

void expect_constant_bias(const Builder& b, const Node& node, ValueId bias) {
  if (bias && (!b.graph.constant(bias) || b.graph.value(bias).dtype != DType::float32))
    refuse(node, fmt::format("bias '{}' is no float32 constant", b.graph.value(bias).name), "one");
}

Choice<IntegerConvKernel> choose_conv(Builder& b, const Node& node, const IntegerConvShape& shape, bool plain_only) {
  const auto reject = [&](const IntegerConvKernel& kernel) -> const char* {
    if (const char* reason = refuse_unasked(b, node, kernel.name)) return reason;
    return plain_only && (kernel.code->in_block > 1 || kernel.code->out_block > 1) ? "the image has one dimension" : nullptr;
  };
  const auto reorders = [&](const IntegerConvKernel& kernel) {
    return b.reorder_seconds(node.input(Conv::kInput), blocks_of(kernel.code->in_block));
  };
  Choice<IntegerConvKernel> choice = choose(b.options.integer_conv_kernels, shape, b.machine, reject, reorders);
  if (!choice.kernel) refuse(node, fmt::format("no kernel runs it ({})", reasons(choice.others)), "a shape that one takes");
  return choice;
}

IntegerConvStep conv_step(const Builder& b, const Node& node, const ConvShape& shape, ValueId input, ValueId weight, ValueId residual,
                          const Activation& activation) {
  const Scale in = scale_of(b, node, input);
  Output out = output_of(b, node, activation);
  take_residual(b, node, residual, out);
  IntegerConvStep work;
  work.shape = {shape, b.dtype(input), out.dtype, bits(weight_of(b, node, weight, shape.out_channels).dtype)};
  if (b.graph.value(weight).kept_rows) {
    const std::vector<std::int64_t> integers = integer_weights(b.graph.value(weight));
    const std::vector<std::int16_t> narrow(integers.begin(), integers.end());
    work.shape.kept_quads = count_quads(shape, narrow.data());
  }
  work.in_scale = in.scale;
  work.in_zero = in.zero;
  work.out_scale = out.scale;
  work.output = out.requantize;
  return work;
}

void lower_conv(Builder& b, NodeId id, const Node& node, const Conv& op) {
  const ValueId input = node.input(Conv::kInput), weight = node.input(Conv::kWeight), bias = node.input(Conv::kBias),
                residual = node.input(Conv::kResidual);
  expect_constant_bias(b, node, bias);
  const IntegerConvStep work = conv_step(b, node, conv_shape(b, node, op), input, weight, residual, op.activation);
  const Choice<IntegerConvKernel> choice = choose_conv(b, node, work.shape, b.dims(node.output()).size() == 3);
  const IntegerConvCode& code = *choice.kernel->code;
  Need need = blocks_of(code.in_block);
  if (code.halo) need.halo = code.halo(work.shape.conv);
  std::vector<int> inputs = {b.read(input, need), b.read(weight), b.read(bias), b.read(residual, blocks_of(code.out_block))};
  b.add(id, work, choice, std::move(inputs), b.define(node.output(), blocks_of(code.out_block)), work.shape.conv.macs());
}

/// A matrix product is a convolution of as many images as there are rows, of one pixel each.
void lower_gemm(Builder& b, NodeId id, const Node& node, const Gemm& op) {
  const ValueId input = node.input(Gemm::kA), weight = node.input(Gemm::kB), bias = node.input(Gemm::kC);
  if (op.transpose_a || op.alpha != 1 || (bias && op.beta != 1))
    refuse(node, "a product that is scaled or of a transposed input", "a plain one");
  expect_constant_bias(b, node, bias);
  const Dims &in = b.dims(input), &out = b.dims(node.output());
  if (bias && element_count(b.dims(bias)) != out[1]) refuse(node, "bias is no row of the output", "one number per output");
  IntegerConvStep work = conv_step(b, node, {.batch = in[0], .in_channels = in[1], .in_h = 1, .in_w = 1, .out_channels = out[1]}, input,
                                   weight, {}, op.activation);
  work.transposed = !op.transpose_b;
  const Choice<IntegerConvKernel> choice = choose_conv(b, node, work.shape, false);
  const Need rows{.row_block = std::max(choice.kernel->code->in_block, choice.kernel->code->out_block)};
  std::vector<int> inputs = {b.read(input, rows), b.read(weight), b.read(bias), -1};
  b.add(id, work, choice, std::move(inputs), b.define(node.output(), rows), work.shape.conv.macs());
}

void lower_pool(Builder& b, NodeId id, const Node& node, const PoolShape& shape) {
  const Scale in = scale_of(b, node, node.input(0));
  const Output out = output_of(b, node, {});
  IntegerPoolStep work{{shape, b.dtype(node.input(0)), out.dtype}, in.scale / out.scale, in.zero, out.requantize};
  const bool blocked = work.shape.in == DType::uint8 && b.dims(node.input(0)).size() == 4;
  work.shape.pool.block = blocked ? kIntegerBlock : 1;
  work.shape.out_block = blocked && b.dims(node.output()).size() == 4 && out.dtype == DType::uint8 ? kIntegerBlock : 1;
  const int input = b.read(node.input(0), blocks_of(work.shape.pool.block));
  b.add(id, work, integer_pool_kernels(), {input}, b.define(node.output(), blocks_of(work.shape.out_block)));
}

/// The mean over whole images is average pooling with a window as large as they are.
void lower_mean(Builder& b, NodeId id, const Node& node, const Reduce& op) {
  const Dims& in = b.dims(node.input(0));
  Ints axes;
  for (const std::int64_t axis : op.axes) axes.push_back(normalize_axis(node.name, axis, std::ssize(in)));
  std::sort(axes.begin(), axes.end());
  if (op.kind != ReduceKind::mean || in.size() != 4 || axes != Ints{2, 3})
    refuse(node, "reduces integers", "the mean over an image's pixels");
  lower_pool(b, id, node,
             {.average = true,
              .batch = in[0],
              .channels = in[1],
              .in_h = in[2],
              .in_w = in[3],
              .out_h = 1,
              .out_w = 1,
              .kernel_h = in[2],
              .kernel_w = in[3]});
}

ImageShape image_of(const Dims& dims) {
  if (dims.size() == 4) return {dims[0], dims[1], dims[2], dims[3]};
  return {1, 1, 1, element_count(dims)};
}

void lower_add(Builder& b, NodeId id, const Node& node, const Binary& op) {
  const ValueId a = node.input(Binary::kA), c = node.input(Binary::kB);
  if (op.kind != BinaryKind::add) refuse(node, "arithmetic of integers", "an addition");
  if (b.dims(a) != b.dims(c)) refuse(node, "operands of different sizes", "equal ones");
  if (b.dtype(a) != b.dtype(c)) refuse(node, "operands of different types", "one type");
  const Scale left = scale_of(b, node, a);
  Output out = output_of(b, node, op.activation);
  take_residual(b, node, c, out);
  const bool image = b.dims(a).size() == 4;
  const Need need = image ? b.lies(a, false) : Need{.dense = true};
  const IntegerAddStep work{{image_of(b.dims(a)), b.dtype(a), out.dtype, need.block}, left.scale / out.scale, left.zero, out.requantize};
  std::vector<int> inputs = {b.read(a, need), b.read(c, need)};
  b.add(id, work, integer_add_kernels(), std::move(inputs), b.define(node.output(), need));
}

/// Identity is where a model goes from real numbers to integers, back, or to integers of another scale.
void lower_requantize(Builder& b, NodeId id, const Node& node) {
  const ValueId input = node.input(0);
  const Dims& dims = b.dims(input);
  const Output out = output_of(b, node, {});
  RequantizeStep work{{image_of(dims), b.dtype(input), out.dtype}, 1, 1, 0, out.requantize};
  if (is_quantized(b.graph, input)) {
    const Scale in = scale_of(b, node, input);
    work.multiplier = in.scale / out.scale;
    work.in_zero = in.zero;
  } else {
    expect_float32(b, node, input);
    work.divisor = out.scale;
  }
  Need from = dims.size() == 4 ? b.lies(input, false) : Need{.dense = true}, to = from;
  if (dims.size() == 4 && out.dtype != DType::float32)
    to = blocks_of(work.shape.in == DType::float32 && dims[1] <= kFirstBlock ? kFirstBlock : kIntegerBlock);
  if (dims.size() == 4 && out.dtype == DType::float32 && from.block != lanes(b.machine.isa)) to = {};
  if (dims.size() == 4 && from.block > 1 && to.block > 1 && from.block != to.block) from = {};
  work.shape.in_block = from.block;
  work.shape.out_block = to.block;
  const int value = b.read(input, from);
  b.add(id, work, requantize_kernels(), {value}, b.define(node.output(), to));
}

/// Operators that only move elements keep the scale, so their integers move as any others do.
bool moves(const Op& op) {
  return std::holds_alternative<Slice>(op) || std::holds_alternative<Pad>(op) || std::holds_alternative<Concat>(op) ||
         std::holds_alternative<Flatten>(op) || std::holds_alternative<Reshape>(op) || std::holds_alternative<Squeeze>(op) ||
         std::holds_alternative<Unsqueeze>(op) || std::holds_alternative<Transpose>(op) || std::holds_alternative<Gather>(op) ||
         std::holds_alternative<Expand>(op);
}

void expect_one_scale(const Builder& b, const Node& node) {
  const auto& to = b.graph.value(node.output());
  const std::size_t count = std::holds_alternative<Concat>(node.op) ? node.inputs.size() : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& from = b.graph.value(node.inputs[i]);
    const bool same = from.quantization && to.quantization && from.dtype == to.dtype &&
                      from.quantization->scale == to.quantization->scale && from.quantization->zero_point == to.quantization->zero_point;
    if (!same) refuse(node, fmt::format("'{}' and '{}' differ in their scales", from.name, to.name), "one scale for what only moves");
  }
}

}  // namespace

Requantize full_range(const Graph& graph, ValueId id) {
  const konv::Value& value = graph.value(id);
  const std::int32_t zero = value.quantization->zero_point.front();
  const bool is_signed = value.dtype == DType::int16;
  const std::int32_t least = is_signed ? -32768 : 0, most = is_signed ? 32767 : (1 << bits(value.dtype)) - 1;
  Requantize q;
  q.zero = zero;
  q.low = static_cast<float>(least - zero);
  q.high = static_cast<float>(most - zero);
  return q;
}

bool lower_integers(Builder& b, NodeId id, const Node& node) {
  if (!touches_integers(b.graph, node)) return false;
  if (moves(node.op)) {
    expect_one_scale(b, node);
    return false;
  }
  if (const auto* conv = std::get_if<Conv>(&node.op)) {
    lower_conv(b, id, node, *conv);
  } else if (const auto* gemm = std::get_if<Gemm>(&node.op)) {
    lower_gemm(b, id, node, *gemm);
  } else if (const auto* pool = std::get_if<Pool>(&node.op)) {
    lower_pool(b, id, node, pool_shape(b, node, *pool));
  } else if (const auto* reduce = std::get_if<Reduce>(&node.op)) {
    lower_mean(b, id, node, *reduce);
  } else if (const auto* binary = std::get_if<Binary>(&node.op)) {
    lower_add(b, id, node, *binary);
  } else if (std::holds_alternative<Identity>(node.op)) {
    lower_requantize(b, id, node);
  } else {
    refuse(node, "has no kernel for quantized integers", "real numbers, by an Identity in front of it");
  }
  return true;
}

}  // namespace konv::plan
