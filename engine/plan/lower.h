// Nodes to steps, one function per operator.
#pragma once

#include "engine/plan/builder.h"

namespace konv::plan {

void lower(Builder& b, NodeId id, const Node& node, const Conv& op);
void lower(Builder& b, NodeId id, const Node& node, const ConvTranspose& op);
void lower(Builder& b, NodeId id, const Node& node, const Pool& op);
void lower(Builder& b, NodeId id, const Node& node, const ConvInteger& op);

void lower(Builder& b, NodeId id, const Node& node, const Gemm& op);
void lower(Builder& b, NodeId id, const Node& node, const MatMul& op);
void lower(Builder& b, NodeId id, const Node& node, const BatchNorm& op);
void lower(Builder& b, NodeId id, const Node& node, const Unary& op);
void lower(Builder& b, NodeId id, const Node& node, const Binary& op);
void lower(Builder& b, NodeId id, const Node& node, const Softmax& op);
void lower(Builder& b, NodeId id, const Node& node, const Where& op);
void lower(Builder& b, NodeId id, const Node& node, const LayerNorm& op);
void lower(Builder& b, NodeId id, const Node& node, const InstanceNorm& op);
void lower(Builder& b, NodeId id, const Node& node, const Lrn& op);
void lower(Builder& b, NodeId id, const Node& node, const Reduce& op);
void lower(Builder& b, NodeId id, const Node& node, const TopK& op);
void lower(Builder& b, NodeId id, const Node& node, const Resize& op);
void lower(Builder& b, NodeId id, const Node& node, const Quantize& op);
void lower(Builder& b, NodeId id, const Node& node, const Dequantize& op);
void lower(Builder& b, NodeId id, const Node& node, const MatMulInteger& op);
void lower(Builder& b, NodeId id, const Node& node, const Cast& op);

void lower(Builder& b, NodeId id, const Node& node, const Concat& op);
void lower(Builder& b, NodeId id, const Node& node, const Pad& op);
void lower(Builder& b, NodeId id, const Node& node, const Slice& op);
void lower(Builder& b, NodeId id, const Node& node, const Flatten& op);
void lower(Builder& b, NodeId id, const Node& node, const Reshape& op);
void lower(Builder& b, NodeId id, const Node& node, const Squeeze& op);
void lower(Builder& b, NodeId id, const Node& node, const Unsqueeze& op);
void lower(Builder& b, NodeId id, const Node& node, const Identity& op);
void lower(Builder& b, NodeId id, const Node& node, const Transpose& op);
void lower(Builder& b, NodeId id, const Node& node, const ShapeOf& op);
void lower(Builder& b, NodeId id, const Node& node, const Gather& op);
void lower(Builder& b, NodeId id, const Node& node, const ConstantOfShape& op);
void lower(Builder& b, NodeId id, const Node& node, const Expand& op);
void lower(Builder& b, NodeId id, const Node& node, const Tile& op);
void lower(Builder& b, NodeId id, const Node& node, const DepthToSpace& op);
void lower(Builder& b, NodeId id, const Node& node, const SpaceToDepth& op);
void lower(Builder& b, NodeId id, const Node& node, const Arange& op);

/// Bytes of a value's elements. Throws konv::Error for packed types.
int element_bytes(const Builder& b, const Node& node, ValueId id);

/// Nodes that read or write integers which stand for real numbers. False where there are none, or where they only move: then lower() takes them.
bool lower_integers(Builder& b, NodeId id, const Node& node);

/// The integers of a quantized value: low, high and zero of requantize.h.
Requantize full_range(const Graph& graph, ValueId id);

/// What a convolution, or pooling, is on the input sizes there are; a 1-D image has height 1.
ConvShape conv_shape(const Builder& b, const Node& node, const Conv& op);
PoolShape pool_shape(const Builder& b, const Node& node, const Pool& op);

/// Throws konv::Error unless the value is float32: what the arithmetic kernels take.
void expect_float32(const Builder& b, const Node& node, ValueId value);

}  // namespace konv::plan
