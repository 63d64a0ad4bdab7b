// Operators that multiply by weights, and the normalization that follows them.

#include <fmt/format.h>

#include "converter/onnx/operators.h"
#include "engine/base/text.h"
#include "engine/graph/infer.h"

namespace konv::converter {
namespace {

/// ONNX repeats the weight's kernel sizes in an attribute; they must agree where both are known.
void check_kernel_shape(NodeReader& node, ValueId weight) {
  const std::optional<Ints> kernel = node.integers("kernel_shape");
  const Tensor* tensor = node.graph().constant(weight);
  if (!kernel || !tensor) return;
  if (tensor->dims.size() != kernel->size() + 2 || kernel_of(tensor->dims) != *kernel) {
    node.fail(
        fmt::format("kernel_shape is {} and the weight has shape {}; expected them to agree", to_string(*kernel), to_string(tensor->dims)));
  }
}

}  // namespace

Window read_window(NodeReader& node) {
  Window window;
  window.strides = node.integers("strides").value_or(Ints{});
  window.pads = node.integers("pads").value_or(Ints{});
  window.dilations = node.integers("dilations").value_or(Ints{});
  const std::string auto_pad = node.text("auto_pad", "NOTSET");
  if (auto_pad == "SAME_UPPER")
    window.auto_pad = AutoPad::same_upper;
  else if (auto_pad == "SAME_LOWER")
    window.auto_pad = AutoPad::same_lower;
  else if (auto_pad == "VALID")
    window.auto_pad = AutoPad::valid;
  else if (auto_pad != "NOTSET" && !auto_pad.empty())
    node.fail(fmt::format("auto_pad is '{}'; expected NOTSET, SAME_UPPER, SAME_LOWER or VALID", printable(auto_pad)));
  if (window.auto_pad != AutoPad::explicit_pads) window.pads.clear();  // some exporters write zeros beside it
  return window;
}

void import_conv(NodeReader& node) {
  const ValueId weight = node.input(Conv::kWeight, "weight");
  check_kernel_shape(node, weight);
  Conv conv;
  conv.window = read_window(node);
  conv.groups = node.integer("group", 1);
  node.finish(conv, {node.input(Conv::kInput, "input"), weight, node.optional_input(Conv::kBias, "bias")});
}

void import_conv_transpose(NodeReader& node) {
  const ValueId weight = node.input(ConvTranspose::kWeight, "weight");
  check_kernel_shape(node, weight);
  ConvTranspose conv;
  conv.window = read_window(node);
  conv.output_padding = node.integers("output_padding").value_or(Ints{});
  conv.output_shape = node.integers("output_shape").value_or(Ints{});
  conv.groups = node.integer("group", 1);
  node.finish(conv, {node.input(ConvTranspose::kInput, "input"), weight, node.optional_input(ConvTranspose::kBias, "bias")});
}

void import_gemm(NodeReader& node) {
  Gemm gemm;
  gemm.transpose_a = node.flag("transA", false);
  gemm.transpose_b = node.flag("transB", false);
  gemm.alpha = node.real("alpha", 1);
  gemm.beta = node.real("beta", 1);
  if (node.opset() < 7) node.ignore("broadcast");  // since opset 7 C always broadcasts
  node.finish(gemm, {node.input(Gemm::kA, "A"), node.input(Gemm::kB, "B"), node.optional_input(Gemm::kC, "C")});
}

void import_mat_mul(NodeReader& node) { node.finish(MatMul{}, {node.input(MatMul::kA, "A"), node.input(MatMul::kB, "B")}); }

void import_batch_normalization(NodeReader& node) {
  BatchNorm norm;
  norm.epsilon = node.real("epsilon", 1e-5f);
  node.ignore("momentum");  // training only
  if (node.opset() < 9 && node.integer("spatial", 1) != 1) node.fail("spatial is 0 (statistics per pixel); expected 1");
  if (node.opset() < 7 && node.integer("is_test", 0) == 0)
    node.fail("is in training mode (is_test is 0); expected a model exported for inference");
  if (node.opset() >= 14 && node.integer("training_mode", 0) != 0)
    node.fail("is in training mode; expected a model exported for inference");
  node.only_first_output("statistics of training mode");
  node.finish(norm, {node.input(BatchNorm::kInput, "input"), node.input(BatchNorm::kGamma, "scale"), node.input(BatchNorm::kBeta, "B"),
                     node.input(BatchNorm::kMean, "mean"), node.input(BatchNorm::kVariance, "variance")});
}

}  // namespace konv::converter
