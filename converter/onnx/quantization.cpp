// Operators between real numbers and integers. Those that do several things at once become one node for each: the products stay in integers, and
// requantization is what DequantizeLinear and QuantizeLinear say it is.

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
