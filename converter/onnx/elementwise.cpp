// Operators on single elements, and softmax.

#include <limits>

#include <fmt/format.h>

#include "converter/onnx/operators.h"

namespace konv::converter {
namespace {

void finish_unary(NodeReader& node, Activation function) { node.finish(Unary{function}, {node.input(0, "input")}); }

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

void finish_binary(NodeReader& node, BinaryKind kind) {
  const ValueId a = node.input(Binary::kA, "A");
  const ValueId b = second_operand(node, a, node.input(Binary::kB, "B"));
  node.finish(Binary{kind, {}}, {a, b});
}

}  // namespace

void import_relu(NodeReader& node) { finish_unary(node, {ActivationKind::relu, 0, 0}); }
void import_leaky_relu(NodeReader& node) { finish_unary(node, {ActivationKind::leaky_relu, node.real("alpha", 0.01f), 0}); }
void import_sigmoid(NodeReader& node) { finish_unary(node, {ActivationKind::sigmoid, 0, 0}); }
void import_hard_swish(NodeReader& node) { finish_unary(node, {ActivationKind::hard_swish, 0, 0}); }
void import_tanh(NodeReader& node) { finish_unary(node, {ActivationKind::tanh, 0, 0}); }

void import_hard_sigmoid(NodeReader& node) {
  finish_unary(node, {ActivationKind::hard_sigmoid, node.real("alpha", 0.2f), node.real("beta", 0.5f)});
}

void import_clip(NodeReader& node) {
  Activation clip{ActivationKind::clip, std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max()};
  if (node.opset() < 11) {
    clip.alpha = node.real("min", clip.alpha);
    clip.beta = node.real("max", clip.beta);
  } else {
    if (node.has(1)) clip.alpha = node.constant_real(1, "min");
    if (node.has(2)) clip.beta = node.constant_real(2, "max");
  }
  finish_unary(node, clip);
}

void import_softmax(NodeReader& node) {
  Softmax softmax;
  softmax.flatten = node.opset() < 13;
  softmax.axis = node.integer("axis", softmax.flatten ? 1 : -1);
  node.finish(softmax, {node.input(0, "input")});
}

void import_add(NodeReader& node) { finish_binary(node, BinaryKind::add); }
void import_sub(NodeReader& node) { finish_binary(node, BinaryKind::sub); }
void import_mul(NodeReader& node) { finish_binary(node, BinaryKind::mul); }
void import_div(NodeReader& node) { finish_binary(node, BinaryKind::div); }

void import_identity(NodeReader& node) { node.finish(Identity{}, {node.input(0, "input")}); }

void import_dropout(NodeReader& node) {
  node.ignore("ratio");  // an input since opset 12
  node.ignore("seed");
  node.ignore("is_test");
  if (node.has(2) && node.constant_real(2, "training_mode") != 0) node.fail("is in training mode; expected a model exported for inference");
  node.only_first_output("the mask");
  node.finish(Identity{}, {node.input(0, "input")});
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
