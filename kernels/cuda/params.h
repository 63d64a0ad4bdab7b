// Parameters of the CUDA kernels: plain structs that host and device compile alike, passed by value. Sizes are in elements, images NHWC.
//
// `pitch` is the number of channels that a pixel occupies: the channels rounded up to whole chunks of 16 bytes. Lanes beyond the channels hold zeros; every kernel
// that writes an image writes them too.
#pragma once

#include <cstdint>

#include "kernels/base/activation.h"

namespace konv::cuda {

/// out = activation(sum + bias + residual), the same in every convolution.
struct Epilogue {
  const float* bias;     ///< [out_channels] or null
  const void* residual;  ///< laid out like the output, or null
  Activation activation;
};

/// A convolution's geometry.
struct ConvGeometry {
  std::int32_t batch, in_h, in_w, in_channels, in_pitch;
  std::int32_t out_h, out_w, out_channels, out_pitch;
  std::int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, groups;
};

/// Direct, first and depthwise convolution, and products of few rows.
struct ConvParams {
  ConvGeometry g;
  const void* in;
  const void* weight;  ///< as the kernel's packing left it
  void* out;
  Epilogue epilogue;
};

/// 32 bytes of every pixel's channels at one tap: a step of K.
struct KGroup {
  std::int32_t delta;    ///< elements from the window's first pixel, channel 0
  std::int16_t dy, dx;   ///< pixels from the window's first pixel
  std::int32_t channel;  ///< first channel; a chunk at or beyond the pitch reads as zero. Negative: nothing, the last of an odd number
  std::int32_t unused;   ///< makes it 16 bytes
};

struct ConvGemmParams {
  ConvGeometry g;
  const void* in;
  const void* weight;     ///< [out_pitch][k_groups] of 32 bytes
  const KGroup* groups;   ///< [k_groups]
  std::int32_t k_groups;  ///< even
  void* out;
  Epilogue epilogue;
};

/// Image to matrix [batch out_h out_w][kernel_h kernel_w in_pitch].
struct Im2colParams {
  ConvGeometry g;
  const void* in;
  void* out;
};

struct PoolParams {
  const void* in;
  void* out;
  std::int32_t batch, in_h, in_w, pitch, channels, out_h, out_w;
  std::int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
  std::int32_t count_top, count_left, count_bottom, count_right;  ///< average: padding that counts in the divisor
};

/// Up to this many dimensions walk together.
inline constexpr int kMaxWalk = 6;

/// out = activation(a op b); sizes and element strides, the last dimension fastest. A stride of 0 repeats.
struct BinaryParams {
  const void *a, *b;
  void* out;
  std::int64_t count;
  std::int32_t kind;  ///< Arithmetic: add, sub, mul, div, pow, min, max, prelu
  std::int32_t rank;
  std::int32_t dims[kMaxWalk];
  std::int64_t a_strides[kMaxWalk], b_strides[kMaxWalk], out_strides[kMaxWalk];
  Activation activation;
};

/// out = activation(scale[c] x + shift[c] + residual); scale, shift and residual may be null. In place where in and out are one.
struct AffineParams {
  const void* in;
  void* out;
  std::int64_t chunks;  ///< of 16 bytes, all pixels
  std::int32_t channels, pitch;
  const float *scale, *shift;
  const void* residual;
  Activation activation;
};

/// Copies elements between strided places, converting between float32 and float16 where the types differ.
struct CopyParams {
  const void* in;
  void* out;
  std::int64_t count;
  std::int32_t rank;
  std::int32_t dims[kMaxWalk];
  std::int64_t in_strides[kMaxWalk], out_strides[kMaxWalk];
};

/// Sets `count` elements.
struct FillParams {
  void* out;
  std::int64_t count;
  float value;
};

/// Between [n][channels][pixels] of float32 and [n][pixels][pitch]; pad lanes become zero.
struct ImageParams {
  const void* in;
  void* out;
  std::int32_t batch, channels, pitch;
  std::int64_t pixels;
};

/// out[i] = reduction of in[i ... + j ...]: kept dimensions, the last fastest, then reduced ones.
struct ReduceParams {
  const void* in;
  void* out;
  std::int32_t kind;  ///< Reduction: mean, sum, max, min
  std::int64_t outputs, reduced;
  std::int32_t kept_rank, reduced_rank;
  std::int32_t kept[kMaxWalk], over[kMaxWalk];
  std::int64_t in_kept[kMaxWalk], in_over[kMaxWalk], out_kept[kMaxWalk];
};

/// Softmax over `size` elements that lie `step` apart, for rows counted over two dimensions.
struct SoftmaxParams {
  const void* in;
  void* out;
  std::int64_t outer, inner;
  std::int32_t size;
  std::int64_t outer_stride, inner_stride, step;
};

}  // namespace konv::cuda
