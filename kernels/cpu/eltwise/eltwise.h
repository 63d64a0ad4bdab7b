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
};

struct UnaryArgs {
  UnaryShape shape;
  TensorView in, out;  ///< equal sizes, float32
};

enum class Arithmetic : std::uint8_t { add, sub, mul, div };

struct BinaryShape {
  Arithmetic kind = Arithmetic::add;
  DType dtype = DType::float32;  ///< float32, int32 or int64 (integer division rounds towards zero; by zero gives 0)
  std::int64_t count = 0;
};

struct BinaryArgs {
  BinaryShape shape;
  TensorView a, b, out;  ///< the same rank and sizes; zero strides broadcast
  Activation activation;
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
  DType from = DType::float32, to = DType::float32;  ///< bool, integers from 8 bits, float32, float64, float16, bfloat16
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

using BatchNormCode = Code<BatchNormShape, BatchNormArgs>;
using BatchNormKernel = Kernel<BatchNormShape, BatchNormCode>;
std::span<const BatchNormKernel> batch_norm_kernels();

using CastCode = Code<CastShape, CastArgs>;
using CastKernel = Kernel<CastShape, CastCode>;
std::span<const CastKernel> cast_kernels();

}  // namespace konv
