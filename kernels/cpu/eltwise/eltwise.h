// Elementwise work: functions of one argument, arithmetic of two, batch normalization, conversion of types.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/activation.h"
#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

struct UnaryShape {
  Activation function;
  std::int64_t count = 0;
  DType dtype = DType::float32;  ///< integers know relu, clip, abs and neg
};

struct UnaryArgs {
  UnaryShape shape;
  TensorView in, out;  ///< equal sizes and types
};

enum class Arithmetic : std::uint8_t { add, sub, mul, div, pow, min, max, prelu, equal, less, greater };

inline bool is_comparison(Arithmetic kind) { return kind >= Arithmetic::equal; }

struct BinaryShape {
  Arithmetic kind = Arithmetic::add;
  DType dtype = DType::float32;  ///< of the operands; integer division rounds towards zero, by zero gives 0; comparisons give bool
  std::int64_t count = 0;
};

struct BinaryArgs {
  BinaryShape shape;
  TensorView a, b, out;  ///< the same rank and sizes; zero strides broadcast
  Activation activation;
};

/// out = condition ? a : b, whatever the type of a and b.
struct SelectShape {
  std::int64_t count = 0;
  int element_bytes = 4;  ///< 1, 2, 4 or 8
};

struct SelectArgs {
  SelectShape shape;
  TensorView condition, a, b, out;  ///< the same rank and sizes; zero strides broadcast; condition is bool
};

/// out[i] = start + i delta
struct RangeShape {
  std::int64_t count = 0;
  DType dtype = DType::float32;
};

struct RangeArgs {
  RangeShape shape;
  TensorView start, delta;  ///< one element each
  TensorView out;           ///< dense
};

/// y = gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel.
struct BatchNormShape {
  std::int64_t batch = 1, channels = 0, pixels = 0;
};

struct BatchNormArgs {
  BatchNormShape shape;
  TensorView in, out;  ///< [N, C, pixels...]
  const float *gamma, *beta, *mean, *variance;
  float epsilon;
};

struct CastShape {
  DType from = DType::float32, to = DType::float32;  ///< any
  std::int64_t count = 0;
};

struct CastArgs {
  CastShape shape;
  TensorView in, out;  ///< dense
};

using UnaryCode = Code<UnaryShape, UnaryArgs>;
using UnaryKernel = Kernel<UnaryShape, UnaryCode>;
std::span<const UnaryKernel> unary_kernels();

using BinaryCode = Code<BinaryShape, BinaryArgs>;
using BinaryKernel = Kernel<BinaryShape, BinaryCode>;
std::span<const BinaryKernel> binary_kernels();

using SelectCode = Code<SelectShape, SelectArgs>;
using SelectKernel = Kernel<SelectShape, SelectCode>;
std::span<const SelectKernel> select_kernels();

using RangeCode = Code<RangeShape, RangeArgs>;
using RangeKernel = Kernel<RangeShape, RangeCode>;
std::span<const RangeKernel> range_kernels();

using BatchNormCode = Code<BatchNormShape, BatchNormArgs>;
using BatchNormKernel = Kernel<BatchNormShape, BatchNormCode>;
std::span<const BatchNormKernel> batch_norm_kernels();

using CastCode = Code<CastShape, CastArgs>;
using CastKernel = Kernel<CastShape, CastCode>;
std::span<const CastKernel> cast_kernels();

}  // namespace konv
