// 2-D transposed convolution: the gradient of a convolution with respect to its input.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/activation.h"
#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

struct ConvTransposeShape {
  std::int64_t batch = 1;
  std::int64_t in_channels = 0, in_h = 0, in_w = 0;
  std::int64_t out_channels = 0, out_h = 0, out_w = 0;
  std::int64_t kernel_h = 1, kernel_w = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t pad_top = 0, pad_left = 0;  ///< rows and columns cut off; the end's follow from the output size
  std::int64_t groups = 1;

  std::int64_t macs() const { return batch * in_channels * in_h * in_w * (out_channels / groups) * kernel_h * kernel_w; }
};

struct ConvTransposeArgs {
  ConvTransposeShape shape;
  TensorView in, out;
  const float* weight;  ///< [Cin, Cout/groups, KH, KW]
  const float* bias;    ///< [Cout] or null
  Activation activation;
};

using ConvTransposeCode = Code<ConvTransposeShape, ConvTransposeArgs>;
using ConvTransposeKernel = Kernel<ConvTransposeShape, ConvTransposeCode>;
std::span<const ConvTransposeKernel> conv_transpose_kernels();

}  // namespace konv
