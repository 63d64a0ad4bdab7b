// Nodes to steps on a GPU, one function per operator; operators without one have no CUDA kernel.
#pragma once

#include "engine/plan/cuda/builder.h"

namespace konv::plan {

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Conv& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Gemm& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const MatMul& op);

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Pool& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const BatchNorm& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Unary& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Binary& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Softmax& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Reduce& op);

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Concat& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Pad& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Slice& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Transpose& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Expand& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Flatten& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Reshape& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Squeeze& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Unsqueeze& op);
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Identity& op);

}  // namespace konv::plan
