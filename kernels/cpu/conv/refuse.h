// Why convolution kernels do not apply. Plain code: it runs on any CPU, for any CPU.
#pragma once

#include <cstdint>

#include "kernels/base/conv_shape.h"
#include "kernels/base/isa.h"

namespace konv {

inline const char* refuse_nothing(const ConvShape&) { return nullptr; }

inline const char* refuse_pointwise(const ConvShape& s) {
  if (s.kernel_h != 1 || s.kernel_w != 1) return "kernel is not 1x1";
  if (s.stride_h != 1 || s.stride_w != 1) return "stride is not 1";
  if (s.pad_top || s.pad_left || s.pad_bottom || s.pad_right) return "padded";
  return nullptr;
}

inline const char* refuse_depthwise(const ConvShape& s) {
  if (s.groups != s.in_channels) return "groups differ from input channels";
  return nullptr;
}

/// It keeps whole rows of every input channel of a group in its workspace, and walks all weights for each of them.
inline const char* refuse_direct(const ConvShape& s) {
  if (s.groups == s.in_channels && s.groups > 1) return "depthwise";
  if (s.group_in() > 64) return "more than 64 input channels per group";
  return nullptr;
}

/// Tiles are compiled for strides 1 and 2 along a row.
inline const char* refuse_step(const ConvShape& s) { return s.stride_w > 2 ? "stride along a row is more than 2" : nullptr; }

/// Groups must be whole blocks; a block is as wide as a vector.
inline const char* refuse_blocked(const ConvShape& s, Isa isa) {
  const int block = lanes(isa);
  if (s.groups > 1 && (s.group_in() % block || s.group_out() % block)) return "channels of a group are no whole blocks";
  if (s.group_in() < block / 2) return "few input channels";
  return refuse_step(s);
}

template <Isa isa>
const char* refuse_blocked(const ConvShape& s) {
  return refuse_blocked(s, isa);
}

/// Several output blocks share the pixels of a tile; strides are of no matter to it.
template <Isa isa>
const char* refuse_igemm(const ConvShape& s) {
  const int block = lanes(isa);
  if (s.groups > 1 && (s.group_in() % block || s.group_out() % block)) return "channels of a group are no whole blocks";
  if (s.group_in() < block / 2) return "few input channels";
  if (s.group_out() <= block) return "few output channels";
  return nullptr;
}

inline const char* refuse_igemm_tiles(const ConvShape& s) {
  if (s.groups > 1) return "grouped";
  return refuse_igemm<Isa::avx512_amx>(s);
}

/// F(2x2,3x3), F(4x4,3x3), F(6x6,3x3); half-empty tiles of tiny images gain nothing, which is the cost's to say.
inline const char* refuse_winograd(const ConvShape& s, Isa isa) {
  if (s.kernel_h != 3 || s.kernel_w != 3) return "kernel is not 3x3";
  if (s.stride_h != 1 || s.stride_w != 1) return "stride is not 1";
  if (s.dilation_h != 1 || s.dilation_w != 1) return "dilated";
  if (s.groups > 1) return "grouped";
  return refuse_blocked(s, isa);
}

template <Isa isa>
const char* refuse_winograd(const ConvShape& s) {
  return refuse_winograd(s, isa);
}

/// Tiles of 16 pixels hold a kernel of up to 13 and give 4 pixels at least; small kernels gain nothing, which is the cost's to say.
inline const char* refuse_fft16(const ConvShape& s, Isa isa) {
  if (s.kernel_h > 13 || s.kernel_w > 13) return "kernel is larger than 13";
  if (s.stride_h != 1 || s.stride_w != 1) return "stride is not 1";
  if (s.dilation_h != 1 || s.dilation_w != 1) return "dilated";
  if (s.groups > 1) return "grouped";
  return refuse_blocked(s, isa);
}

template <Isa isa>
const char* refuse_fft16(const ConvShape& s) {
  return refuse_fft16(s, isa);
}

inline const char* refuse_depthwise_blocked(const ConvShape& s) {
  if (s.groups != s.in_channels || s.groups == 1) return "groups differ from input channels";
  if (s.out_channels != s.in_channels) return "several outputs per channel";
  return refuse_step(s);
}

/// A network's first layer: the input stays plain.
inline const char* refuse_first(const ConvShape& s) {
  if (s.groups > 1) return "grouped";
  if (s.in_channels > 16) return "more than 16 input channels";
  return refuse_step(s);
}

/// Pruned rows as they are gathered; of a dense layer the other kernels know better.
inline const char* refuse_im2col_kept(const ConvShape& s) {
  if (s.kept_rows < 0) return "no row is known to be pruned";
  return s.groups > 1 ? "grouped" : nullptr;
}

inline const char* refuse_kept(const ConvShape& s) {
  if (const char* reason = refuse_im2col_kept(s)) return reason;
  if (s.in_channels * (s.in_h + 128) * (s.in_w + 128) > INT32_MAX) return "too large for 32-bit offsets";
  return refuse_step(s);
}

/// Weights one by one: pixels are the lanes.
inline const char* refuse_sparse(const ConvShape& s) {
  if (s.nonzeros < 0) return "few weights are known to be zero";
  if (s.groups > 1) return "grouped";
  return refuse_pointwise(s);
}

}  // namespace konv
