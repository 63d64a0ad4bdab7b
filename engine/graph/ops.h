// What a node computes. One struct per operator, fields are its attributes; the inputs are named by the constants in it.
// describe() lists the fields once: saving, loading, printing, comparing and hashing all read that list.
//
// To add an operator: a struct here, its line in KONV_OPS, its shape inference (infer_*.cpp), its kernel family.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "kernels/base/activation.h"
#include "kernels/base/dtype.h"

namespace konv {

using Ints = std::vector<std::int64_t>;

/// How a window operator pads: by `pads`, or so that the output has ceil(in / stride) pixels (the odd one after or before), or not at all.
enum class AutoPad : std::uint8_t { explicit_pads, same_upper, same_lower, valid };

/// A window sliding over the spatial dimensions. Vectors have one entry per spatial dimension, `pads` two (all begins, then all ends);
/// empty means ones (strides, dilations) or zeros (pads).
struct Window {
  Ints strides, pads, dilations;
  AutoPad auto_pad = AutoPad::explicit_pads;
};

/// out = activation(conv(input, weight) + bias + residual).
/// weight [out_channels, in_channels / groups, kernel...]; bias [out_channels]; residual has the output's shape.
struct Conv {
  static constexpr int kInput = 0, kWeight = 1, kBias = 2, kResidual = 3;
  Window window;
  std::int64_t groups = 1;
  Activation activation;
};

/// weight [in_channels, out_channels / groups, kernel...]; bias [out_channels].
struct ConvTranspose {
  static constexpr int kInput = 0, kWeight = 1, kBias = 2;
  Window window;
  Ints output_padding, output_shape;
  std::int64_t groups = 1;
  Activation activation;
};

/// out = activation(alpha A' B' + beta C): A' [M, K], B' [K, N], C broadcast to [M, N].
struct Gemm {
  static constexpr int kA = 0, kB = 1, kC = 2;
  bool transpose_a = false, transpose_b = false;
  float alpha = 1, beta = 1;
  Activation activation;
};

/// NumPy's matmul: batch dimensions broadcast, one-dimensional operands get and lose a 1.
struct MatMul {
  static constexpr int kA = 0, kB = 1;
};

/// out = gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel (dimension 1), running statistics.
struct BatchNorm {
  static constexpr int kInput = 0, kGamma = 1, kBeta = 2, kMean = 3, kVariance = 4;
  float epsilon = 1e-5f;
};

/// Elementwise function of one argument.
struct Unary {
  Activation function;
};

enum class BinaryKind : std::uint8_t { add, sub, mul, div };

/// out = activation(a op b), broadcasting as NumPy does. int64 operands appear in shape arithmetic only.
struct Binary {
  static constexpr int kA = 0, kB = 1;
  BinaryKind kind = BinaryKind::add;
  Activation activation;
};

/// Softmax over `axis`; over all dimensions from `axis` on, taken together, when `flatten` (ONNX before opset 13).
struct Softmax {
  std::int64_t axis = -1;
  bool flatten = false;
};

enum class PoolKind : std::uint8_t { max, average };

struct Pool {
  PoolKind kind = PoolKind::max;
  Ints kernel;
  Window window;
  bool ceil_mode = false;          ///< round the output size up; windows that start in the end padding are dropped
  bool count_include_pad = false;  ///< average: padded pixels count in the divisor
};

enum class ReduceKind : std::uint8_t { mean, sum, max, min };

/// Reduces the listed axes (negative ones count from the back), all when empty. GlobalAveragePool is the mean over the spatial ones.
struct Reduce {
  ReduceKind kind = ReduceKind::mean;
  Ints axes;
  bool keep_dims = true;
};

struct Concat {
  std::int64_t axis = 1;
};

enum class PadMode : std::uint8_t { constant, reflect, edge };

/// inputs: data, pads (int64 [2 rank], all begins then all ends; negative ones crop)
struct Pad {
  static constexpr int kInput = 0, kPads = 1;
  PadMode mode = PadMode::constant;
  float value = 0;
};

/// inputs: data, starts, ends, and optionally axes, steps (int64 vectors), as ONNX Slice-13.
struct Slice {
  static constexpr int kInput = 0, kStarts = 1, kEnds = 2, kAxes = 3, kSteps = 4;
};

/// [d0 ... d(axis-1), rest] as two dimensions.
struct Flatten {
  std::int64_t axis = 1;
};

/// inputs: data, shape (int64; -1 is what remains, 0 copies the input's size unless allow_zero)
struct Reshape {
  static constexpr int kInput = 0, kShape = 1;
  bool allow_zero = false;
};

struct Transpose {
  Ints permutation;  ///< empty: reversed
};

struct Squeeze {
  Ints axes;  ///< empty: every dimension of size 1
};

struct Unsqueeze {
  Ints axes;
};

struct Identity {};

/// The input's sizes from dimension `start` to `end` (exclusive), int64.
struct ShapeOf {
  std::int64_t start = 0, end = INT64_MAX;
};

/// inputs: data, indices (integers; negative ones count from the back)
struct Gather {
  static constexpr int kInput = 0, kIndices = 1;
  std::int64_t axis = 0;
};

struct Cast {
  DType to = DType::float32;
};

/// inputs: shape. A tensor of one value.
struct ConstantOfShape {
  DType dtype = DType::float32;
  double value = 0;
};

/// inputs: data, shape. Broadcasts both ways, as ONNX Expand.
struct Expand {
  static constexpr int kInput = 0, kShape = 1;
};

// X(type, name in files)
#define KONV_OPS(X)                     \
  X(Conv, "Conv")                       \
  X(ConvTranspose, "ConvTranspose")     \
  X(Gemm, "Gemm")                       \
  X(MatMul, "MatMul")                   \
  X(BatchNorm, "BatchNorm")             \
  X(Unary, "Unary")                     \
  X(Binary, "Binary")                   \
  X(Softmax, "Softmax")                 \
  X(Pool, "Pool")                       \
  X(Reduce, "Reduce")                   \
  X(Concat, "Concat")                   \
  X(Pad, "Pad")                         \
  X(Slice, "Slice")                     \
  X(Flatten, "Flatten")                 \
  X(Reshape, "Reshape")                 \
  X(Transpose, "Transpose")             \
  X(Squeeze, "Squeeze")                 \
  X(Unsqueeze, "Unsqueeze")             \
  X(Identity, "Identity")               \
  X(ShapeOf, "ShapeOf")                 \
  X(Gather, "Gather")                   \
  X(Cast, "Cast")                       \
  X(ConstantOfShape, "ConstantOfShape") \
  X(Expand, "Expand")

using Op = std::variant<Conv, ConvTranspose, Gemm, MatMul, BatchNorm, Unary, Binary, Softmax, Pool, Reduce, Concat, Pad, Slice, Flatten,
                        Reshape, Transpose, Squeeze, Unsqueeze, Identity, ShapeOf, Gather, Cast, ConstantOfShape, Expand>;

/// "Conv", "Unary", ...: the name in KONV_OPS.
const char* op_name(const Op& op);
/// What a person calls it: "Conv", "Relu", "Add", "MaxPool", "ReduceMean", ...
std::string display_name(const Op& op);

}  // namespace konv
