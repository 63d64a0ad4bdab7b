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

/// prelu: a < 0 ? a b : a. The last three compare and give bool.
enum class BinaryKind : std::uint8_t { add, sub, mul, div, pow, min, max, prelu, equal, less, greater };

inline bool is_comparison(BinaryKind kind) { return kind >= BinaryKind::equal; }

/// out = activation(a op b), broadcasting as NumPy does; operands of one type.
struct Binary {
  static constexpr int kA = 0, kB = 1;
  BinaryKind kind = BinaryKind::add;
  Activation activation;
};

/// out = condition ? a : b, broadcasting as NumPy does; the condition is bool.
struct Where {
  static constexpr int kCondition = 0, kA = 1, kB = 2;
};

/// Softmax over `axis`; over all dimensions from `axis` on, taken together, when `flatten` (ONNX before opset 13). Its logarithm when `log`.
struct Softmax {
  std::int64_t axis = -1;
  bool flatten = false;
  bool log = false;
};

/// out = gamma (x - mean) / sqrt(variance + epsilon) + beta, mean and variance over the dimensions from `axis` on; gamma and beta have their shape.
struct LayerNorm {
  static constexpr int kInput = 0, kGamma = 1, kBeta = 2;
  std::int64_t axis = -1;
  float epsilon = 1e-5f;
};

/// The same with mean and variance over the pixels of each channel; gamma and beta have one number per channel (dimension 1).
struct InstanceNorm {
  static constexpr int kInput = 0, kGamma = 1, kBeta = 2;
  float epsilon = 1e-5f;
};

/// Local response normalization: out = x / (bias + alpha / size * sum x^2)^beta, the sum over `size` neighbouring channels.
struct Lrn {
  std::int64_t size = 1;
  float alpha = 1e-4f, beta = 0.75f, bias = 1;
};

/// lp: (sum |x|^order)^(1/order). max_index: where the maximum lies in the whole input, counted row by row over all dimensions, int64;
/// the first one where several are equal.
enum class PoolKind : std::uint8_t { max, average, lp, max_index };

struct Pool {
  PoolKind kind = PoolKind::max;
  Ints kernel;
  Window window;
  bool ceil_mode = false;          ///< round the output size up; windows that start in the end padding are dropped
  bool count_include_pad = false;  ///< average: padded pixels count in the divisor
  std::int64_t order = 2;          ///< lp
  bool column_major = false;       ///< max_index: counted column by column within an image
};

/// l1 = sum |x|, l2 = sqrt(sum x^2), log_sum = log(sum x), log_sum_exp = log(sum exp(x)), sum_square = sum x^2
enum class ReduceKind : std::uint8_t { mean, sum, max, min, prod, l1, l2, log_sum, log_sum_exp, sum_square };

/// Reduces the listed axes (negative ones count from the back); all when there are none, or nothing when `none_is_none`. GlobalAveragePool is the
/// mean over the spatial ones. inputs: data, and optionally axes (int64 vector) in the attribute's place.
struct Reduce {
  static constexpr int kInput = 0, kAxes = 1;
  ReduceKind kind = ReduceKind::mean;
  Ints axes;
  bool keep_dims = true;
  bool none_is_none = false;
};

enum class TopKPart : std::uint8_t { values, indices };

/// The k largest (or smallest) elements along an axis in falling (rising) order, or their indices (int64). Of equal elements the first comes first,
/// the last when `last_first`. inputs: data, k (int64 [1])
struct TopK {
  static constexpr int kInput = 0, kK = 1;
  std::int64_t axis = -1;
  bool largest = true;
  bool last_first = false;
  TopKPart part = TopKPart::values;
};

struct Concat {
  std::int64_t axis = 1;
};

enum class PadMode : std::uint8_t { constant, reflect, edge, wrap };

/// inputs: data, pads (int64 [2 rank], all begins then all ends; negative ones crop), optionally a value (one element) in the attribute's place, and
/// optionally the axes that are padded (then pads are two per axis)
struct Pad {
  static constexpr int kInput = 0, kPads = 1, kValue = 2, kAxes = 3;
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

/// inputs: data, and optionally axes (int64 vector) in the attribute's place
struct Squeeze {
  static constexpr int kInput = 0, kAxes = 1;
  Ints axes;  ///< empty: every dimension of size 1
};

/// inputs: data, and optionally axes (int64 vector) in the attribute's place
struct Unsqueeze {
  static constexpr int kInput = 0, kAxes = 1;
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

/// inputs: data, repeats (int64, one per dimension)
struct Tile {
  static constexpr int kInput = 0, kRepeats = 1;
};

/// Which part of the channel index a block's pixels come from: dcr = the outer one, crd = the inner one (ONNX's names).
enum class DepthOrder : std::uint8_t { dcr, crd };

/// [N, C b b, H, W] to [N, C, H b, W b]
struct DepthToSpace {
  std::int64_t block = 1;
  DepthOrder order = DepthOrder::dcr;
};

/// [N, C, H b, W b] to [N, C b b, H, W]
struct SpaceToDepth {
  std::int64_t block = 1;
  DepthOrder order = DepthOrder::dcr;
};

/// inputs: start, limit, delta: one element each, of one type. start, start + delta, ... up to limit, which it does not reach.
struct Arange {
  static constexpr int kStart = 0, kLimit = 1, kDelta = 2;
};

enum class ResizeMode : std::uint8_t { nearest, linear, cubic };

/// Where output pixel o lies in the input; names as ONNX Resize-19's coordinate_transformation_mode.
enum class ResizeCoordinates : std::uint8_t {
  half_pixel,
  half_pixel_symmetric,
  pytorch_half_pixel,
  align_corners,
  asymmetric,
  tf_crop_and_resize,
};

/// Which neighbour is the nearest one.
enum class ResizeRounding : std::uint8_t { round_prefer_floor, round_prefer_ceil, floor, ceil };

/// What becomes of sizes that would change the proportions: taken as they are, or one scale for all, so that no size is larger or smaller than asked for.
enum class ResizePolicy : std::uint8_t { stretch, not_larger, not_smaller };

/// inputs: data; roi (float [2 n], starts then ends, of tf_crop_and_resize); scales (float32 [n]) or sizes (int64 [n]), n the number of axes.
struct Resize {
  static constexpr int kInput = 0, kRoi = 1, kScales = 2, kSizes = 3;
  ResizeMode mode = ResizeMode::nearest;
  ResizeCoordinates coordinates = ResizeCoordinates::half_pixel;
  ResizeRounding rounding = ResizeRounding::round_prefer_floor;
  ResizePolicy policy = ResizePolicy::stretch;
  float cubic_a = -0.75f;
  bool exclude_outside = false;  ///< pixels beyond the border count nothing, else as the border's
  bool antialias = false;        ///< downsampling widens the filter
  float extrapolation = 0;       ///< tf_crop_and_resize: the value beyond the input
  Ints axes;                     ///< empty: all
};

/// Real numbers to integers: out = saturate(round(in / scale) + zero point), ties to even. inputs: data, scale, and optionally the zero point of the
/// same shape: one element, one per index of `axis`, or (`block` above 0) one per `block` elements along it.
struct Quantize {
  static constexpr int kInput = 0, kScale = 1, kZero = 2;
  std::int64_t axis = 1, block = 0;
  DType to = DType::uint8;
};

/// Integers to real numbers: out = (in - zero point) scale. Inputs as Quantize's.
struct Dequantize {
  static constexpr int kInput = 0, kScale = 1, kZero = 2;
  std::int64_t axis = 1, block = 0;
  DType to = DType::float32;
};

/// Convolution of 8-bit integers into int32: sum of (input - its zero point) (weight - its zero point). inputs: input, weight, and optionally their zero
/// points (one element each, the weight's also one per output channel).
struct ConvInteger {
  static constexpr int kInput = 0, kWeight = 1, kInputZero = 2, kWeightZero = 3;
  Window window;
  std::int64_t groups = 1;
};

/// The same for a matrix product; zero points have one element, or one per row of A and column of B.
struct MatMulInteger {
  static constexpr int kA = 0, kB = 1, kZeroA = 2, kZeroB = 3;
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
  X(Where, "Where")                     \
  X(Softmax, "Softmax")                 \
  X(LayerNorm, "LayerNorm")             \
  X(InstanceNorm, "InstanceNorm")       \
  X(Lrn, "Lrn")                         \
  X(Pool, "Pool")                       \
  X(Reduce, "Reduce")                   \
  X(TopK, "TopK")                       \
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
  X(Expand, "Expand")                   \
  X(Tile, "Tile")                       \
  X(DepthToSpace, "DepthToSpace")       \
  X(SpaceToDepth, "SpaceToDepth")       \
  X(Arange, "Range")                    \
  X(Resize, "Resize")                   \
  X(Quantize, "Quantize")               \
  X(Dequantize, "Dequantize")           \
  X(ConvInteger, "ConvInteger")         \
  X(MatMulInteger, "MatMulInteger")

using Op = std::variant<Conv, ConvTranspose, Gemm, MatMul, BatchNorm, Unary, Binary, Where, Softmax, LayerNorm, InstanceNorm, Lrn, Pool,
                        Reduce, TopK, Concat, Pad, Slice, Flatten, Reshape, Transpose, Squeeze, Unsqueeze, Identity, ShapeOf, Gather, Cast,
                        ConstantOfShape, Expand, Tile, DepthToSpace, SpaceToDepth, Arange, Resize, Quantize, Dequantize, ConvInteger,
                        MatMulInteger>;

/// "Conv", "Unary", ...: the name in KONV_OPS.
const char* op_name(const Op& op);
/// What a person calls it: "Conv", "Relu", "Add", "MaxPool", "ReduceMean", ...
std::string display_name(const Op& op);

}  // namespace konv
