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

// elementwise.cpp
void import_relu(NodeReader& node);
void import_leaky_relu(NodeReader& node);
void import_clip(NodeReader& node);
void import_sigmoid(NodeReader& node);
void import_hard_sigmoid(NodeReader& node);
void import_hard_swish(NodeReader& node);
void import_tanh(NodeReader& node);
void import_softmax(NodeReader& node);
void import_add(NodeReader& node);
void import_sub(NodeReader& node);
void import_mul(NodeReader& node);
void import_div(NodeReader& node);
void import_identity(NodeReader& node);
void import_dropout(NodeReader& node);
void import_cast(NodeReader& node);

// pooling.cpp
void import_max_pool(NodeReader& node);
void import_average_pool(NodeReader& node);
void import_global_average_pool(NodeReader& node);
void import_global_max_pool(NodeReader& node);
void import_reduce_mean(NodeReader& node);
void import_reduce_sum(NodeReader& node);
void import_reduce_max(NodeReader& node);
void import_reduce_min(NodeReader& node);

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

/// strides, pads, dilations and auto_pad, as convolutions and pools share them.
Window read_window(NodeReader& node);

}  // namespace konv::converter
