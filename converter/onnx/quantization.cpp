// Operators between real numbers and integers. Those that do several things at once become one node for each. Where scales, zero points and weights are
// constants, as in files that tools for quantization write, that is DequantizeLinear, the operator on real numbers and QuantizeLinear, which the passes
// turn into integer kernels; elsewhere the products stay in integers, and requantization is what those two say it is.

#include <algorithm>
#include <initializer_list>

#include <fmt/format.h>

#include "converter/onnx/operators.h"

namespace konv::converter {
namespace {

/// output_dtype, where it is given: it must agree with the zero point.
std::optional<DType> output_type(NodeReader& node) {
  const std::int64_t number = node.integer("output_dtype", 0);
  if (number == 0) return {};
  const std::optional<DType> dtype = number > 0 && number < 1000 ? dtype_of(static_cast<std::int32_t>(number)) : std::nullopt;
  if (!dtype) node.fail(fmt::format("output_dtype is {}; expected a float or integer type", number));
  return dtype;
}

/// real = scale (integer - zero), then to the output's scale and type.
void finish_requantized(NodeReader& node, ValueId integers, ValueId scale, std::int64_t axis, ValueId out_scale, ValueId out_zero) {
  const ValueId real = node.emit("real", Dequantize{axis, 0, node.dtype(scale)}, {integers, scale});
  node.finish(Quantize{axis, 0, node.dtype(out_zero)}, {real, out_scale, out_zero});
}

/// Inputs `first` to `first + 2` of a QLinear operator: integers, their scale, their zero point.
ValueId real_input(NodeReader& node, int first, const char* what, std::int64_t axis = 0) {
  const std::string name = what;
  const ValueId scale = node.input(first + 1, (name + "_scale").c_str());
  return node.emit(what, Dequantize{axis, 0, node.dtype(scale)},
                   {node.input(first, what), scale, node.optional_input(first + 2, (name + "_zero_point").c_str())});
}

void finish_quantized(NodeReader& node, ValueId real, int scale) {
  const ValueId zero = node.input(scale + 1, "y_zero_point");
  node.finish(Quantize{1, 0, node.dtype(zero)}, {real, node.input(scale, "y_scale"), zero});
}

bool all_constant(NodeReader& node, std::initializer_list<int> inputs) {
  return std::all_of(inputs.begin(), inputs.end(), [&](int i) { return !node.has(i) || node.graph().constant(node.input(i, "an input")); });
}

/// A bias in units of the sums: the input's scale times the weight's.
ValueId real_bias(NodeReader& node, int bias, int input_scale, int weight_scale) {
  const std::vector<float> a = to_f32(*node.graph().constant(node.input(input_scale, "x_scale")));
  std::vector<float> scale = to_f32(*node.graph().constant(node.input(weight_scale, "w_scale")));
  for (float& s : scale) s *= a.at(0);
  const Dims dims = scale.size() == 1 ? Dims{} : Dims{std::ssize(scale)};
  return node.emit("bias", Dequantize{0, 0, DType::float32}, {node.input(bias, "B"), node.constant("bias_scale", make_f32(dims, scale))});
}

Tensor scalar(float value) { return make_f32({}, {&value, 1}); }

}  // namespace

void import_quantize_linear(NodeReader& node) {
  node.ignore("saturate");   // float8 only
  node.ignore("precision");  // always float32
  const ValueId zero = node.optional_input(Quantize::kZero, "y_zero_point");
  const std::optional<DType> given = output_type(node);
  Quantize quantize{node.integer("axis", 1), node.integer("block_size", 0), given.value_or(zero ? node.dtype(zero) : DType::uint8)};
  node.finish(quantize, {node.input(Quantize::kInput, "x"), node.input(Quantize::kScale, "y_scale"), zero});
}

void import_dequantize_linear(NodeReader& node) {
  const ValueId scale = node.input(Dequantize::kScale, "x_scale");
  Dequantize dequantize{node.integer("axis", 1), node.integer("block_size", 0), output_type(node).value_or(node.dtype(scale))};
  node.finish(dequantize, {node.input(Dequantize::kInput, "x"), scale, node.optional_input(Dequantize::kZero, "x_zero_point")});
}

void import_conv_integer(NodeReader& node) {
  node.ignore("kernel_shape");
  node.finish(
      ConvInteger{read_window(node), node.integer("group", 1)},
      {node.input(ConvInteger::kInput, "x"), node.input(ConvInteger::kWeight, "w"),
       node.optional_input(ConvInteger::kInputZero, "x_zero_point"), node.optional_input(ConvInteger::kWeightZero, "w_zero_point")});
}

void import_mat_mul_integer(NodeReader& node) {
  node.finish(MatMulInteger{},
              {node.input(MatMulInteger::kA, "A"), node.input(MatMulInteger::kB, "B"),
               node.optional_input(MatMulInteger::kZeroA, "a_zero_point"), node.optional_input(MatMulInteger::kZeroB, "b_zero_point")});
}

void import_q_linear_conv(NodeReader& node) {
  node.ignore("kernel_shape");
  if (all_constant(node, {1, 2, 3, 4, 5, 6, 7, 8}) && node.graph().constant(node.input(1, "x_scale"))->count() == 1) {
    const ValueId x = real_input(node, 0, "x"), w = real_input(node, 3, "w");
    const ValueId bias = node.has(8) ? real_bias(node, 8, 1, 4) : ValueId{};
    std::vector<ValueId> inputs = {x, w};
    if (bias) inputs.push_back(bias);
    return finish_quantized(node, node.emit("sum", Conv{read_window(node), node.integer("group", 1), {}}, inputs), 6);
  }
  const ValueId x = node.input(0, "x"), w = node.input(3, "w");
  ValueId sum = node.emit("sum", ConvInteger{read_window(node), node.integer("group", 1)},
                          {x, w, node.input(2, "x_zero_point"), node.input(5, "w_zero_point")});
  if (node.has(8)) {
    Ints trailing;
    for (std::int64_t d = 1; d < node.rank(x, "its input") - 1; ++d) trailing.push_back(d);
    sum = node.emit("biased", Binary{BinaryKind::add, {}}, {sum, node.emit("bias", Unsqueeze{trailing}, {node.input(8, "B")})});
  }
  const ValueId scale = node.emit("scale", Binary{BinaryKind::mul, {}}, {node.input(1, "x_scale"), node.input(4, "w_scale")});
  finish_requantized(node, sum, scale, 1, node.input(6, "y_scale"), node.input(7, "y_zero_point"));
}

void import_q_linear_mat_mul(NodeReader& node) {
  if (all_constant(node, {1, 2, 3, 4, 5, 6, 7})) {
    const ValueId a = real_input(node, 0, "a"), b = real_input(node, 3, "b", -1);
    return finish_quantized(node, node.emit("sum", MatMul{}, {a, b}), 6);
  }
  const ValueId sum = node.emit("sum", MatMulInteger{},
                                {node.input(0, "a"), node.input(3, "b"), node.input(2, "a_zero_point"), node.input(5, "b_zero_point")});
  const ValueId scale = node.emit("scale", Binary{BinaryKind::mul, {}}, {node.input(1, "a_scale"), node.input(4, "b_scale")});
  finish_requantized(node, sum, scale, -1, node.input(6, "y_scale"), node.input(7, "y_zero_point"));
}

/// scale = (max(x, 0) - min(x, 0)) / 255, zero point = saturate(round(-min / scale)), and x quantized with them.
void import_dynamic_quantize_linear(NodeReader& node) {
  const ValueId x = node.input(0, "x"), nothing = node.constant("nothing", scalar(0));
  const ValueId high = node.emit("high", Binary{BinaryKind::max, {}}, {node.emit("max", Reduce{ReduceKind::max, {}, false}, {x}), nothing});
  const ValueId low = node.emit("low", Binary{BinaryKind::min, {}}, {node.emit("min", Reduce{ReduceKind::min, {}, false}, {x}), nothing});
  const ValueId range = node.emit("range", Binary{BinaryKind::sub, {}}, {high, low});
  const ValueId scale = node.emit("y_scale", Binary{BinaryKind::div, {}}, {range, node.constant("steps", scalar(255))});
  const ValueId zero = node.emit("y_zero_point", Quantize{}, {node.emit("offset", Unary{{ActivationKind::neg, 0, 0}}, {low}), scale});
  if (node.output_read(1)) node.finish_output(1, Identity{}, {scale});
  if (node.output_read(2)) node.finish_output(2, Identity{}, {zero});
  node.finish(Quantize{}, {x, scale, zero});
}

}  // namespace konv::converter
