// Windows sliding over images of one to three spatial dimensions, for the shapes and types that the fast families (conv, conv_transpose, pool) do
// not take: volumes, double, integers, other pools. Correct first.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/activation.h"
#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

enum class WindowKind : std::uint8_t {
  conv,            // weight [out, in / groups, kernel]; integers: out is int32, sum of (in - in_zero) (weight - weight_zero)
  conv_transpose,  // weight [in, out / groups, kernel]
  max,
  average,
  lp,         // (sum |x|^order)^(1/order)
  max_index,  // out is int64: the place in the whole input
};

/// Sizes of depth, height and width; leading ones are 1 where there are fewer dimensions.
using Sizes3 = std::int64_t[3];

struct WindowShape {
  WindowKind kind = WindowKind::conv;
  DType dtype = DType::float32;  ///< of the input
  DType weight = DType::float32;
  bool count_include_pad = false;
  bool column_major = false;  ///< max_index: places within an image count columns first
  std::int64_t order = 2;
  std::int64_t batch = 1, in_channels = 0, out_channels = 0, groups = 1;
  Sizes3 in = {1, 1, 1}, out = {1, 1, 1}, kernel = {1, 1, 1}, stride = {1, 1, 1}, dilation = {1, 1, 1};
  Sizes3 pad = {0, 0, 0}, pad_end = {0, 0, 0};

  std::int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  std::int64_t pixels() const { return out[0] * out[1] * out[2]; }
};

struct WindowArgs {
  WindowShape shape;
  TensorView in, out;                 ///< dense
  TensorView weight, bias, residual;  ///< dense, of the input's type; data is null where absent
  TensorView in_zero, weight_zero;    ///< integers: one element, or one per output channel (weights); null = 0
  Activation activation;              ///< floats only
};

using WindowCode = Code<WindowShape, WindowArgs>;
using WindowKernel = Kernel<WindowShape, WindowCode>;
std::span<const WindowKernel> window_kernels();

}  // namespace konv
