// Everything about a 2-D convolution but its numbers. A 1-D convolution has height 1.
#pragma once

#include <cstdint>

#include "kernels/base/divide.h"

namespace konv {

struct ConvShape {
  std::int64_t batch = 1;
  std::int64_t in_channels = 0, in_h = 0, in_w = 0;
  std::int64_t out_channels = 0, kernel_h = 1, kernel_w = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  std::int64_t groups = 1;
  std::int64_t kept_rows = -1;  ///< of k(): rows that some output channel reads, where pruning may have left few; -1: not counted
  std::int64_t nonzeros = -1;   ///< weights other than 0, where most are 0; -1: not counted

  std::int64_t out_h() const { return quotient(in_h + pad_top + pad_bottom - (dilation_h * (kernel_h - 1) + 1), stride_h) + 1; }
  std::int64_t out_w() const { return quotient(in_w + pad_left + pad_right - (dilation_w * (kernel_w - 1) + 1), stride_w) + 1; }
  std::int64_t group_in() const { return quotient(in_channels, groups); }
  std::int64_t group_out() const { return quotient(out_channels, groups); }
  /// Rows of the im2col matrix of one group: one per (input channel, tap).
  std::int64_t k() const { return group_in() * kernel_h * kernel_w; }
  std::int64_t out_pixels() const { return out_h() * out_w(); }
  std::int64_t macs() const { return batch * out_channels * out_pixels() * k(); }
  std::int64_t weight_count() const { return out_channels * k(); }

  friend bool operator==(const ConvShape&, const ConvShape&) = default;
};

}  // namespace konv
