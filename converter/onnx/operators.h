// The ONNX operators konv imports: one small function each, grouped by theme, and the table that lists them.
#pragma once

#include <span>

#include "converter/onnx/node.h"

namespace konv::converter {

struct OperatorImporter {
  const char* name;  ///< of domain ai.onnx
  void (*import)(NodeReader& node);
  int min_inputs, max_inputs;
};

/// Sorted by name.
std::span<const OperatorImporter> operator_importers();

const OperatorImporter* find_operator(std::string_view name);

constexpr std::int64_t kOldestOpset = 6;

// convolution.cpp
void import_conv(NodeReader& node);
void import_conv_transpose(NodeReader& node);
void import_gemm(NodeReader& node);
void import_mat_mul(NodeReader& node);
void import_batch_normalization(NodeReader& node);

// normalization.cpp
void import_lrn(NodeReader& node);
void import_instance_normalization(NodeReader& node);
void import_layer_normalization(NodeReader& node);

// resample.cpp
void import_upsample(NodeReader& node);
void import_resize(NodeReader& node);

// quantization.cpp
void import_quantize_linear(NodeReader& node);
void import_dequantize_linear(NodeReader& node);
void import_conv_integer(NodeReader& node);
void import_mat_mul_integer(NodeReader& node);
void import_q_linear_conv(NodeReader& node);
void import_q_linear_mat_mul(NodeReader& node);
void import_dynamic_quantize_linear(NodeReader& node);

// elementwise.cpp
void finish_function(NodeReader& node, Activation function);
void finish_binary(NodeReader& node, BinaryKind kind);
void finish_fold(NodeReader& node, BinaryKind kind);
/// Functions without attributes.
template <ActivationKind kind>
void import_function(NodeReader& node) {
  finish_function(node, {kind, 0, 0});
}
template <BinaryKind kind>
void import_binary(NodeReader& node) {
  finish_binary(node, kind);
}
/// Any number of operands, one after the other.
template <BinaryKind kind>
void import_fold(NodeReader& node) {
  finish_fold(node, kind);
}
void import_leaky_relu(NodeReader& node);
void import_elu(NodeReader& node);
void import_selu(NodeReader& node);
void import_gelu(NodeReader& node);
void import_clip(NodeReader& node);
void import_hard_sigmoid(NodeReader& node);
void import_prelu(NodeReader& node);
void import_pow(NodeReader& node);
void import_mean(NodeReader& node);
void import_where(NodeReader& node);
void import_softmax(NodeReader& node);
void import_log_softmax(NodeReader& node);
void import_identity(NodeReader& node);
void import_dropout(NodeReader& node);
void import_cast(NodeReader& node);

// pooling.cpp
void import_max_pool(NodeReader& node);
void import_average_pool(NodeReader& node);
void import_lp_pool(NodeReader& node);
void import_global_average_pool(NodeReader& node);
void import_global_max_pool(NodeReader& node);
void finish_reduce(NodeReader& node, ReduceKind kind, std::int64_t input_since);
/// `input_since`: the opset in which the axes became an input.
template <ReduceKind kind, std::int64_t input_since = 18>
void import_reduce(NodeReader& node) {
  finish_reduce(node, kind, input_since);
}
void import_arg_max(NodeReader& node);
void import_top_k(NodeReader& node);

// shape.cpp
void import_concat(NodeReader& node);
void import_pad(NodeReader& node);
void import_slice(NodeReader& node);
void import_flatten(NodeReader& node);
void import_reshape(NodeReader& node);
void import_transpose(NodeReader& node);
void import_squeeze(NodeReader& node);
void import_unsqueeze(NodeReader& node);
void import_constant(NodeReader& node);
void import_shape(NodeReader& node);
void import_gather(NodeReader& node);
void import_constant_of_shape(NodeReader& node);
void import_expand(NodeReader& node);
void import_split(NodeReader& node);
void import_tile(NodeReader& node);
void import_depth_to_space(NodeReader& node);
void import_space_to_depth(NodeReader& node);
void import_range(NodeReader& node);

/// strides, pads, dilations and auto_pad, as convolutions and pools share them.
Window read_window(NodeReader& node);

}  // namespace konv::converter
