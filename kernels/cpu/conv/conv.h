// 2-D convolution on the CPU: out = activation(conv(in, weight) + bias + residual).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/base/activation.h"
#include "kernels/base/conv_shape.h"
#include "kernels/base/dtype.h"
#include "kernels/base/layout.h"
#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

/// The one epilogue, the same in every kernel: bias, residual, activation, in this order.
struct ConvArgs {
  ConvShape shape;
  TensorView in;        ///< [N, Cin, H, W]
  TensorView out;       ///< [N, Cout, OH, OW]
  const void* weight;   ///< as ConvCode::pack left it; [Cout, Cin/groups, KH, KW] when pack is null
  const float* bias;    ///< [Cout] or null
  TensorView residual;  ///< like out; data is null when there is none
  Activation activation;
  bool far_weights = false;  ///< no near cache holds the weight from one run to the next: kernels may fetch it ahead
};

struct ConvCode : Code<ConvShape, ConvArgs> {
  int in_block, out_block;         ///< channels that lie together in the input, and in output and residual; 1: plain, else Format::blocked
  Halo (*halo)(const ConvShape&);  ///< what it reads around the image, zeros; null: nothing, it tests for edges
  std::size_t (*packed_bytes)(const ConvShape&);  ///< null: the weight is read as it is
  void (*pack)(const ConvShape&, const float* weight, void* packed);
  /// The same numbers in the chunks that suit one thread, and two; null functions: as for several.
  Code<ConvShape, ConvArgs> alone = {}, pair = {};
  double error = 1;                                                 ///< largest rounding error, in multiples of the plain sum of products
  DType weight_type = DType::float32, input_type = DType::float32;  ///< what both are rounded to before they are multiplied
};

using ConvKernel = Kernel<ConvShape, ConvCode>;

/// The whole list in order of preference between equals; the portable reference comes last.
std::span<const ConvKernel> conv_kernels();

/// The naive oracle's arithmetic in double, for tests: `out` is dense NCHW.
void conv_oracle(const ConvShape& shape, const float* in, const float* weight, const float* bias, const float* residual,
                 Activation activation, double* out);

}  // namespace konv
