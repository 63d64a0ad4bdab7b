// Convolutions and fully connected layers seen alike: weights as a matrix of output channels by im2col rows.
#pragma once

#include <optional>

#include "engine/compress/matrix.h"
#include "engine/graph/graph.h"
#include "kernels/base/conv_shape.h"

namespace konv::compress {

struct Layer {
  NodeId node;
  ValueId input, weight, bias, residual;  ///< the last two may be absent
  Activation activation;
  bool transposed = false;  ///< the weight is stored [K, Cout]
};

/// The node as a layer; nothing unless it is a Conv, or a Gemm that is a plain fully connected layer, with constant weights and bias.
std::optional<Layer> layer_of(const Graph& graph, NodeId id);

/// What it is for one image. A fully connected layer is a convolution of one pixel.
ConvShape layer_shape(const Graph& graph, const Layer& layer);

/// Real weights [Cout, K], K per group; pruned rows as zeros.
Matrix layer_weights(const Graph& graph, const Layer& layer);

/// The node without its activation; `linear`: without bias and residual, too.
Graph without_activation(const Graph& graph, const Layer& layer, bool linear);

}  // namespace konv::compress
