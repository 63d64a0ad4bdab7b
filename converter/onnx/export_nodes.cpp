// One function per operator: which ONNX nodes say the same.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "converter/onnx/export.h"
#include "engine/graph/infer.h"

namespace konv::converter {
namespace {

void set_window(onnx::NodeProto& node, const Window& w) {
  if (!w.strides.empty()) set(node, "strides", w.strides);
  if (!w.dilations.empty()) set(node, "dilations", w.dilations);
  switch (w.auto_pad) {
    case AutoPad::explicit_pads:
      if (!w.pads.empty()) set(node, "pads", w.pads);
      break;
    case AutoPad::same_upper: set(node, "auto_pad", "SAME_UPPER"); break;
    case AutoPad::same_lower: set(node, "auto_pad", "SAME_LOWER"); break;
    case AutoPad::valid: set(node, "auto_pad", "VALID"); break;
  }
}

std::vector<std::string> inputs(const OnnxWriter& w, int first = 0) {
  std::vector<std::string> names;
  for (int i = first; i < static_cast<int>(w.node().inputs.size()); ++i) names.push_back(w.input(i));
  return names;
}

onnx::NodeProto& same(OnnxWriter& w, const char* op) { return w.add(op, inputs(w), {w.result()}); }

void write(OnnxWriter& w, const Conv& op) {
  const bool residual = static_cast<bool>(w.node().input(Conv::kResidual));
  const std::string sum = w.before(op.activation), conv = residual ? w.fresh("conv") : sum;
  onnx::NodeProto& node = w.add("Conv", {w.input(Conv::kInput), w.input(Conv::kWeight), w.input(Conv::kBias)}, {conv});
  set_window(node, op.window);
  set(node, "group", op.groups);
  if (residual) w.add("Add", {conv, w.input(Conv::kResidual)}, {sum});
  w.finish(op.activation, sum);
}

void write(OnnxWriter& w, const ConvTranspose& op) {
  const std::string to = w.before(op.activation);
  onnx::NodeProto& node = w.add("ConvTranspose", inputs(w), {to});
  set_window(node, op.window);
  set(node, "group", op.groups);
  if (!op.output_padding.empty()) set(node, "output_padding", op.output_padding);
  if (!op.output_shape.empty()) set(node, "output_shape", op.output_shape);
  w.finish(op.activation, to);
}

void write(OnnxWriter& w, const Gemm& op) {
  const std::string to = w.before(op.activation);
  onnx::NodeProto& node = w.add("Gemm", inputs(w), {to});
  set(node, "transA", std::int64_t{op.transpose_a});
  set(node, "transB", std::int64_t{op.transpose_b});
  set(node, "alpha", op.alpha);
  set(node, "beta", op.beta);
  w.finish(op.activation, to);
}

void write(OnnxWriter& w, const MatMul&) { same(w, "MatMul"); }
void write(OnnxWriter& w, const BatchNorm& op) { set(same(w, "BatchNormalization"), "epsilon", op.epsilon); }

/// A copy where nothing is left to do.
void write(OnnxWriter& w, const Unary& op) {
  if (op.function.kind == ActivationKind::none) {
    same(w, "Identity");
  } else {
    w.finish(op.function, w.input(0));
  }
}

void write(OnnxWriter& w, const Binary& op) {
  constexpr const char* kNames[] = {"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu", "Equal", "Less", "Greater"};
  const std::string to = w.before(op.activation);
  w.add(kNames[static_cast<int>(op.kind)], inputs(w), {to});
  w.finish(op.activation, to);
}

void write(OnnxWriter& w, const Where&) { same(w, "Where"); }

/// Since opset 13 there is one axis; several taken together are flattened for it.
void write(OnnxWriter& w, const Softmax& op) {
  const char* name = op.log ? "LogSoftmax" : "Softmax";
  const std::optional<Shape>& shape = w.graph().value(w.node().input(0)).shape;
  const bool last = op.axis == -1 || (shape && op.axis == std::ssize(*shape) - 1);
  if (!op.flatten || last) return set(same(w, name), "axis", op.axis);
  const std::string sizes = w.emit("Shape", {w.input(0)}, "shape"), rows = w.fresh("rows"), soft = w.fresh("soft");
  set(w.add("Flatten", {w.input(0)}, {rows}), "axis", op.axis);
  set(w.add(name, {rows}, {soft}), "axis", std::int64_t{1});
  w.add("Reshape", {soft, sizes}, {w.result()});
}

void write(OnnxWriter& w, const LayerNorm& op) {
  onnx::NodeProto& node = same(w, "LayerNormalization");
  set(node, "axis", op.axis);
  set(node, "epsilon", op.epsilon);
}

void write(OnnxWriter& w, const InstanceNorm& op) { set(same(w, "InstanceNormalization"), "epsilon", op.epsilon); }

void write(OnnxWriter& w, const Lrn& op) {
  onnx::NodeProto& node = same(w, "LRN");
  set(node, "size", op.size);
  set(node, "alpha", op.alpha);
  set(node, "beta", op.beta);
  set(node, "bias", op.bias);
}

void write(OnnxWriter& w, const Pool& op) {
  const bool indices = op.kind == PoolKind::max_index, average = op.kind == PoolKind::average, lp = op.kind == PoolKind::lp;
  onnx::NodeProto& node = indices   ? w.add("MaxPool", inputs(w), {w.fresh("values"), w.result()})
                          : average ? same(w, "AveragePool")
                          : lp      ? same(w, "LpPool")
                                    : same(w, "MaxPool");
  set(node, "kernel_shape", op.kernel);
  set_window(node, op.window);
  set(node, "ceil_mode", std::int64_t{op.ceil_mode});
  if (average) set(node, "count_include_pad", std::int64_t{op.count_include_pad});
  if (average && !op.window.dilations.empty()) w.need_opset(19);
  if (op.ceil_mode) w.need_opset(22);  // since then a window that would start in the end padding is dropped
  if (lp) set(node, "p", op.order);
  if (indices) set(node, "storage_order", std::int64_t{op.column_major});
}

/// The mean over the pixels of images, which others know by this name.
bool is_global_average(const OnnxWriter& w, const Reduce& op) {
  const std::optional<Shape>& shape = w.graph().value(w.node().input(0)).shape;
  Ints axes = op.axes;
  for (std::int64_t& axis : axes) axis += axis < 0 ? 4 : 0;
  std::sort(axes.begin(), axes.end());
  return op.kind == ReduceKind::mean && op.keep_dims && w.node().inputs.size() == 1 && shape && shape->size() == 4 && axes == Ints{2, 3};
}

void write(OnnxWriter& w, const Reduce& op) {
  if (is_global_average(w, op)) return void(same(w, "GlobalAveragePool"));
  constexpr const char* kNames[] = {"ReduceMean", "ReduceSum", "ReduceMax",    "ReduceMin",       "ReduceProd",
                                    "ReduceL1",   "ReduceL2",  "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"};
  std::vector<std::string> names = inputs(w);
  if (!op.axes.empty() && names.size() == 1) names.push_back(w.constant("axes", op.axes));
  const DType type = w.graph().value(w.node().input(0)).dtype;
  if (type == DType::boolean) w.need_opset(20);
  onnx::NodeProto& node = w.add(kNames[static_cast<int>(op.kind)], names, {w.result()});
  set(node, "keepdims", std::int64_t{op.keep_dims});
  set(node, "noop_with_empty_axes", std::int64_t{op.none_is_none});
}

void write(OnnxWriter& w, const TopK& op) {
  const bool indices = op.part == TopKPart::indices;
  if (op.last_first) {
    const Tensor* k = w.graph().constant(w.node().input(TopK::kK));
    if (!indices || !op.largest || !k || to_i64(*k) != Ints{1})
      w.fail("takes the last of equal elements", "the index of one largest element (ONNX ArgMax)");
    onnx::NodeProto& node = w.add("ArgMax", {w.input(TopK::kInput)}, {w.result()});
    set(node, "axis", op.axis);
    set(node, "select_last_index", std::int64_t{1});
    return;
  }
  const std::string other = w.fresh(indices ? "values" : "indices");
  onnx::NodeProto& node =
      w.add("TopK", inputs(w), indices ? std::vector<std::string>{other, w.result()} : std::vector<std::string>{w.result(), other});
  set(node, "axis", op.axis);
  set(node, "largest", std::int64_t{op.largest});
}

void write(OnnxWriter& w, const Concat& op) { set(same(w, "Concat"), "axis", op.axis); }

void write(OnnxWriter& w, const Pad& op) {
  constexpr const char* kModes[] = {"constant", "reflect", "edge", "wrap"};
  std::vector<std::string> names = inputs(w);
  names.resize(std::max<std::size_t>(names.size(), 3));
  if (names[Pad::kValue].empty() && op.value != 0) names[Pad::kValue] = w.constant("value", op.value);
  if (op.mode == PadMode::wrap) w.need_opset(19);
  set(w.add("Pad", names, {w.result()}), "mode", kModes[static_cast<int>(op.mode)]);
}

void write(OnnxWriter& w, const Slice&) { same(w, "Slice"); }
void write(OnnxWriter& w, const Flatten& op) { set(same(w, "Flatten"), "axis", op.axis); }
void write(OnnxWriter& w, const Reshape& op) { set(same(w, "Reshape"), "allowzero", std::int64_t{op.allow_zero}); }

void write(OnnxWriter& w, const Transpose& op) {
  onnx::NodeProto& node = same(w, "Transpose");
  if (!op.permutation.empty()) set(node, "perm", op.permutation);
}

void write_axes(OnnxWriter& w, const char* name, const Ints& axes) {
  std::vector<std::string> names = inputs(w);
  if (names.size() == 1 && !axes.empty()) names.push_back(w.constant("axes", axes));
  w.add(name, names, {w.result()});
}
void write(OnnxWriter& w, const Squeeze& op) { write_axes(w, "Squeeze", op.axes); }
void write(OnnxWriter& w, const Unsqueeze& op) {
  if (op.axes.empty() && !w.node().input(Unsqueeze::kAxes)) {
    same(w, "Identity");  // no axis
  } else {
    write_axes(w, "Unsqueeze", op.axes);
  }
}

void write(OnnxWriter& w, const Identity&) { same(w, "Identity"); }

void write(OnnxWriter& w, const ShapeOf& op) {
  onnx::NodeProto& node = same(w, "Shape");
  if (op.start != 0) set(node, "start", op.start);
  if (op.end != INT64_MAX) set(node, "end", op.end);
}

void write(OnnxWriter& w, const Gather& op) { set(same(w, "Gather"), "axis", op.axis); }
void write(OnnxWriter& w, const Cast& op) { set(same(w, "Cast"), "to", std::int64_t{onnx_type(op.to)}); }

void write(OnnxWriter& w, const ConstantOfShape& op) {
  onnx::AttributeProto& value = *same(w, "ConstantOfShape").add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  onnx::TensorProto& tensor = *value.mutable_t();
  tensor.set_data_type(onnx_type(op.dtype));
  tensor.add_dims(1);
  switch (op.dtype) {
    case DType::float32: tensor.add_float_data(static_cast<float>(op.value)); return;
    case DType::float64: tensor.add_double_data(op.value); return;
    case DType::int64: tensor.add_int64_data(static_cast<std::int64_t>(op.value)); return;
    case DType::uint64:
    case DType::uint32: tensor.add_uint64_data(static_cast<std::uint64_t>(op.value)); return;
    case DType::float16:
    case DType::bfloat16:
      if (op.value != 0) w.fail(fmt::format("fills with {} of {}", op.value, name(op.dtype)), "float32");
      tensor.add_int32_data(0);
      return;
    default: tensor.add_int32_data(static_cast<std::int32_t>(op.value));
  }
}

void write(OnnxWriter& w, const Expand&) { same(w, "Expand"); }
void write(OnnxWriter& w, const Tile&) { same(w, "Tile"); }

void write(OnnxWriter& w, const DepthToSpace& op) {
  onnx::NodeProto& node = same(w, "DepthToSpace");
  set(node, "blocksize", op.block);
  set(node, "mode", op.order == DepthOrder::dcr ? "DCR" : "CRD");
}

void write(OnnxWriter& w, const SpaceToDepth& op) {
  onnx::NodeProto& node = same(w, "SpaceToDepth");
  set(node, "blocksize", op.block);
  if (op.order == DepthOrder::dcr) return;
  w.need_opset(28);
  set(node, "mode", "CRD");
}

void write(OnnxWriter& w, const Arange&) { same(w, "Range"); }

void write(OnnxWriter& w, const Resize& op) {
  constexpr const char* kModes[] = {"nearest", "linear", "cubic"};
  constexpr const char* kCoordinates[] = {"half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
                                          "align_corners", "asymmetric",           "tf_crop_and_resize"};
  constexpr const char* kRoundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  constexpr const char* kPolicies[] = {"stretch", "not_larger", "not_smaller"};
  onnx::NodeProto& node = same(w, "Resize");
  set(node, "mode", kModes[static_cast<int>(op.mode)]);
  set(node, "coordinate_transformation_mode", kCoordinates[static_cast<int>(op.coordinates)]);
  if (op.coordinates == ResizeCoordinates::half_pixel_symmetric) w.need_opset(19);
  if (op.mode == ResizeMode::nearest) set(node, "nearest_mode", kRoundings[static_cast<int>(op.rounding)]);
  if (op.mode == ResizeMode::cubic) set(node, "cubic_coeff_a", op.cubic_a);
  if (op.policy != ResizePolicy::stretch) set(node, "keep_aspect_ratio_policy", kPolicies[static_cast<int>(op.policy)]);
  if (op.exclude_outside) set(node, "exclude_outside", std::int64_t{1});
  if (op.antialias) set(node, "antialias", std::int64_t{1});
  if (op.extrapolation != 0) set(node, "extrapolation_value", op.extrapolation);
  if (!op.axes.empty()) set(node, "axes", op.axes);
}

void write(OnnxWriter& w, const Quantize& op) {
  if (bits(op.to) == 16) w.need_opset(21);
  onnx::NodeProto& node = same(w, "QuantizeLinear");
  set(node, "axis", op.axis);
  if (op.block > 0) set(node, "block_size", op.block);
  const bool typed = !w.node().input(Quantize::kZero) && op.to != DType::uint8;
  if (typed) set(node, "output_dtype", std::int64_t{onnx_type(op.to)});
  if (op.block > 0 || typed) w.need_opset(21);
}

void write(OnnxWriter& w, const Dequantize& op) {
  if (bits(w.graph().value(w.node().input(0)).dtype) == 16) w.need_opset(21);
  onnx::NodeProto& node = same(w, "DequantizeLinear");
  set(node, "axis", op.axis);
  if (op.block > 0) set(node, "block_size", op.block);
  if (op.block > 0) w.need_opset(21);
  if (op.to == w.graph().value(w.node().input(Dequantize::kScale)).dtype) return;
  w.need_opset(23);
  set(node, "output_dtype", std::int64_t{onnx_type(op.to)});
}

void write(OnnxWriter& w, const ConvInteger& op) {
  onnx::NodeProto& node = same(w, "ConvInteger");
  set_window(node, op.window);
  set(node, "group", op.groups);
}

void write(OnnxWriter& w, const MatMulInteger&) { same(w, "MatMulInteger"); }

/// The function as nodes from `from` to the result.
void write_function(OnnxWriter& w, const Activation& a, const std::string& from) {
  const auto plain = [&](const char* op) -> onnx::NodeProto& { return w.add(op, {from}, {w.result()}); };
  switch (a.kind) {
    case ActivationKind::none: return;
    case ActivationKind::relu: plain("Relu"); return;
    case ActivationKind::leaky_relu: return set(plain("LeakyRelu"), "alpha", a.alpha);
    case ActivationKind::clip: {
      const bool low = a.alpha > std::numeric_limits<float>::lowest(), high = a.beta < std::numeric_limits<float>::max();
      w.add("Clip", {from, low ? w.constant("min", a.alpha) : "", high ? w.constant("max", a.beta) : ""}, {w.result()});
      return;
    }
    case ActivationKind::sigmoid: plain("Sigmoid"); return;
    case ActivationKind::hard_sigmoid: {
      onnx::NodeProto& node = plain("HardSigmoid");
      set(node, "alpha", a.alpha);
      set(node, "beta", a.beta);
      return;
    }
    case ActivationKind::hard_swish: plain("HardSwish"); return;
    case ActivationKind::tanh: plain("Tanh"); return;
    case ActivationKind::silu: w.add("Mul", {from, w.emit("Sigmoid", {from}, "sigmoid")}, {w.result()}); return;
    case ActivationKind::elu: return set(plain("Elu"), "alpha", a.alpha);
    case ActivationKind::selu: {
      onnx::NodeProto& node = plain("Selu");
      set(node, "alpha", a.alpha);
      set(node, "gamma", a.beta);
      return;
    }
    case ActivationKind::softplus: plain("Softplus"); return;
    case ActivationKind::gelu:
    case ActivationKind::gelu_tanh:
      w.need_opset(20);
      return set(plain("Gelu"), "approximate", a.kind == ActivationKind::gelu ? "none" : "tanh");
    case ActivationKind::mish: plain("Mish"); return;
    case ActivationKind::erf: plain("Erf"); return;
    case ActivationKind::sqrt: plain("Sqrt"); return;
    case ActivationKind::exp: plain("Exp"); return;
    case ActivationKind::log: plain("Log"); return;
    case ActivationKind::abs: plain("Abs"); return;
    case ActivationKind::neg: plain("Neg"); return;
  }
}

}  // namespace

std::string OnnxWriter::before(const Activation& activation) { return activation.kind == ActivationKind::none ? result_ : fresh("linear"); }

void OnnxWriter::finish(const Activation& activation, const std::string& from) { write_function(*this, activation, from); }

/// Types that operators learned later than the operators themselves came.
void need_type(OnnxWriter& w, DType type) {
  const bool small = type == DType::float16 || type == DType::bfloat16;
  if (bits(type) == 4) w.need_opset(21);
  if (bits(type) == 2) w.need_opset(25);
  if (small && (std::holds_alternative<Quantize>(w.node().op) || std::holds_alternative<Dequantize>(w.node().op))) w.need_opset(19);
  if (small && std::holds_alternative<Arange>(w.node().op)) w.need_opset(27);
}

void export_node(OnnxWriter& writer) {
  const auto type_of = [&](ValueId id) {
    const Value& value = writer.graph().value(id);
    return value.quantization ? DType::float32 : value.dtype;  // as the nodes around see it
  };
  for (const ValueId id : writer.node().inputs) {
    if (id) need_type(writer, type_of(id));
  }
  need_type(writer, type_of(writer.node().output()));
  std::visit([&](const auto& op) { write(writer, op); }, writer.node().op);
}

}  // namespace konv::converter
