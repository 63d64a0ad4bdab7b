// Operators on single elements, and softmax.

#include <limits>

#include <fmt/format.h>

#include "converter/onnx/operators.h"
#include "engine/base/text.h"

namespace konv::converter {
namespace {

/// Before opset 7 operands had the same shape unless `broadcast` was set: then the second one's dimensions lie at `axis` of the first one's,
/// at its end if there is no axis. Since then NumPy's rule holds, which is the case without an axis.
ValueId second_operand(NodeReader& node, ValueId a, ValueId b) {
  if (node.opset() >= 7) return b;
  const bool broadcast = node.flag("broadcast", false);
  const onnx::AttributeProto* given = node.attribute("axis");
  if (!broadcast || !given) return b;
  const std::int64_t rank_a = node.rank(a, "the first operand");
  const std::int64_t rank_b = node.rank(b, "the second operand");
  std::int64_t axis = node.integer("axis", 0);
  if (axis < 0) axis += rank_a;
  if (axis < 0 || axis + rank_b > rank_a) {
    node.fail(fmt::format("{} dimensions at axis {} of {}; expected them to lie inside", rank_b, node.integer("axis", 0), rank_a));
  }
  Ints trailing;
  for (std::int64_t d = rank_b; d < rank_a - axis; ++d) trailing.push_back(d);
  return trailing.empty() ? b : node.emit("aligned", Unsqueeze{trailing}, {b});
}

/// Whether float32 holds every bound exactly: then the epilogues' clip will do.
bool is_float32(NodeReader& node, ValueId value) { return node.dtype(value) == DType::float32; }

Tensor scalar(DType dtype, double value) {
  MutableTensor tensor(dtype, {});
  if (dtype == DType::float64)
    tensor.as<double>()[0] = value;
  else
    tensor.f32()[0] = static_cast<float>(value);
  return tensor;
}

}  // namespace

void finish_function(NodeReader& node, Activation function) { node.finish(Unary{function}, {node.input(0, "input")}); }

void finish_binary(NodeReader& node, BinaryKind kind) {
  const ValueId a = node.input(Binary::kA, "A");
  const ValueId b = second_operand(node, a, node.input(Binary::kB, "B"));
  node.finish(Binary{kind, {}}, {a, b});
}

void import_leaky_relu(NodeReader& node) { finish_function(node, {ActivationKind::leaky_relu, node.real("alpha", 0.01f), 0}); }
void import_elu(NodeReader& node) { finish_function(node, {ActivationKind::elu, node.real("alpha", 1), 0}); }

void import_hard_sigmoid(NodeReader& node) {
  finish_function(node, {ActivationKind::hard_sigmoid, node.real("alpha", 0.2f), node.real("beta", 0.5f)});
}

void import_selu(NodeReader& node) {
  finish_function(node,
                  {ActivationKind::selu, node.real("alpha", 1.67326319217681884765625f), node.real("gamma", 1.05070102214813232421875f)});
}

void import_gelu(NodeReader& node) {
  const std::string approximate = node.text("approximate", "none");
  if (approximate != "none" && approximate != "tanh")
    node.fail(fmt::format("approximate is '{}'; expected none or tanh", printable(approximate)));
  finish_function(node, {approximate == "tanh" ? ActivationKind::gelu_tanh : ActivationKind::gelu, 0, 0});
}

/// Bounds that are constants become one function; computed ones, and those of types that float32 does not hold, a minimum and a maximum.
void import_clip(NodeReader& node) {
  const ValueId input = node.input(0, "input");
  Activation clip{ActivationKind::clip, std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max()};
  if (node.opset() < 11) {
    clip.alpha = node.real("min", clip.alpha);
    clip.beta = node.real("max", clip.beta);
    return node.finish(Unary{clip}, {input});
  }
  const auto constant = [&](int i) { return !node.has(i) || node.graph().constant(node.input(i, "a bound")); };
  if (is_float32(node, input) && constant(1) && constant(2)) {
    if (node.has(1)) clip.alpha = node.constant_real(1, "min");
    if (node.has(2)) clip.beta = node.constant_real(2, "max");
    return node.finish(Unary{clip}, {input});
  }
  const bool both = node.has(1) && node.has(2);
  ValueId low = input;
  if (both) low = node.emit("low", Binary{BinaryKind::max, {}}, {input, node.input(1, "min")});
  if (!node.has(1) && !node.has(2)) return node.finish(Identity{}, {input});
  if (node.has(2)) return node.finish(Binary{BinaryKind::min, {}}, {low, node.input(2, "max")});
  node.finish(Binary{BinaryKind::max, {}}, {input, node.input(1, "min")});
}

/// One slope per channel counts from dimension 1 before opset 7, as an operand broadcast to the input since.
void import_prelu(NodeReader& node) {
  const ValueId input = node.input(0, "input");
  ValueId slope = node.input(1, "slope");
  if (node.opset() < 7 && node.rank(slope, "the slope") == 1 && node.rank(input, "its input") > 2) {
    Ints trailing;
    for (std::int64_t d = 1; d < node.rank(input, "its input") - 1; ++d) trailing.push_back(d);
    slope = node.emit("slope", Unsqueeze{trailing}, {slope});
  }
  node.finish(Binary{BinaryKind::prelu, {}}, {input, slope});
}

/// Base and exponent of two types are raised in double; the result has the base's.
void import_pow(NodeReader& node) {
  const ValueId a = node.input(Binary::kA, "the base"), b = second_operand(node, a, node.input(Binary::kB, "the exponent"));
  if (node.dtype(a) == node.dtype(b)) return node.finish(Binary{BinaryKind::pow, {}}, {a, b});
  const ValueId base = node.emit("base", Cast{DType::float64}, {a}), exponent = node.emit("exponent", Cast{DType::float64}, {b});
  node.finish(Cast{node.dtype(a)}, {node.emit("power", Binary{BinaryKind::pow, {}}, {base, exponent})});
}

void finish_fold(NodeReader& node, BinaryKind kind) {
  ValueId sum = node.input(0, "an operand");
  if (node.input_count() == 1) return node.finish(Identity{}, {sum});
  for (int i = 1; i + 1 < node.input_count(); ++i) sum = node.emit("part", Binary{kind, {}}, {sum, node.input(i, "an operand")});
  node.finish(Binary{kind, {}}, {sum, node.input(node.input_count() - 1, "an operand")});
}

void import_mean(NodeReader& node) {
  ValueId sum = node.input(0, "an operand");
  for (int i = 1; i < node.input_count(); ++i) sum = node.emit("sum", Binary{BinaryKind::add, {}}, {sum, node.input(i, "an operand")});
  const DType dtype = node.dtype(sum);
  if (dtype != DType::float32 && dtype != DType::float64)
    node.fail(fmt::format("operands are {}; expected float32 or float64", name(dtype)));
  node.finish(Binary{BinaryKind::div, {}}, {sum, node.constant("count", scalar(dtype, node.input_count()))});
}

void import_where(NodeReader& node) {
  node.finish(Where{}, {node.input(Where::kCondition, "condition"), node.input(Where::kA, "X"), node.input(Where::kB, "Y")});
}

void finish_softmax(NodeReader& node, bool log) {
  Softmax softmax;
  softmax.flatten = node.opset() < 13;
  softmax.axis = node.integer("axis", softmax.flatten ? 1 : -1);
  softmax.log = log;
  node.finish(softmax, {node.input(0, "input")});
}
void import_softmax(NodeReader& node) { finish_softmax(node, false); }
void import_log_softmax(NodeReader& node) { finish_softmax(node, true); }

void import_identity(NodeReader& node) { node.finish(Identity{}, {node.input(0, "input")}); }

void import_dropout(NodeReader& node) {
  node.ignore("ratio");  // an input since opset 12
  node.ignore("seed");
  node.ignore("is_test");
  if (node.has(2) && node.constant_real(2, "training_mode") != 0) node.fail("is in training mode; expected a model exported for inference");
  const ValueId input = node.input(0, "input");
  if (node.output_read(1)) {  // nothing is dropped
    if (node.opset() < 10) node.fail("its mask is read and of the input's type; expected opset 10 or newer, or nobody to need it");
    node.finish_output(1, ConstantOfShape{DType::boolean, 1}, {node.emit("shape", ShapeOf{}, {input})});
  }
  node.finish(Identity{}, {input});
}

void import_cast(NodeReader& node) {
  node.ignore("saturate");    // float8 only
  node.ignore("round_mode");  // float8 only
  if (!node.attribute("to")) node.fail("has no attribute 'to'");
  const std::int64_t number = node.integer("to", 0);
  const std::optional<DType> to = number >= 0 && number < 1000 ? dtype_of(static_cast<std::int32_t>(number)) : std::nullopt;
  if (!to) node.fail(fmt::format("casts to element type {}; expected a float, integer or bool type", number));
  node.finish(Cast{*to}, {node.input(0, "input")});
}

}  // namespace konv::converter
