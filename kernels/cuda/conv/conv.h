// 2-D convolution on a GPU, NHWC: out = activation(conv(in, weight) + bias + residual). The list, and what choosing, packing and launching need; all of it
// host code that runs without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/base/conv_shape.h"
#include "kernels/cuda/calls.h"
#include "kernels/cuda/predict.h"

namespace konv::cuda {

struct ConvProblem {
  ConvShape shape;
  Precision precision = Precision::float32;
  std::int64_t kept_groups = -1;  ///< groups of K (32 bytes of channels at one tap) whose weights are not all zero; -1: all
  bool constant_weight = true;
  bool plain_input = false;  ///< the input is, or can be had as, float32 NCHW without another step
  ActivationKind activation = ActivationKind::none;

  std::int64_t in_pitch() const { return pitch_of(shape.in_channels, precision); }
  std::int64_t out_pitch() const { return pitch_of(shape.out_channels, precision); }
  std::int64_t pixels() const { return shape.batch * shape.out_pixels(); }
  std::int64_t group_lanes() const { return 32 / element_bytes(precision); }
  std::int64_t all_groups() const { return shape.kernel_h * shape.kernel_w * ((shape.in_channels + group_lanes() - 1) / group_lanes()); }
  /// Groups that are computed, an even number.
  std::int64_t k_groups() const;
};

/// Groups of K with a weight that is not zero, of weights [out][in][kh][kw] (one convolution group).
std::int64_t count_kept_groups(const ConvProblem& problem, std::span<const float> weight);

/// A weight as a kernel reads it, with the list of K groups where the kernel takes one: the same for every size of image. KGroup::delta is not, and is left 0.
struct PackedConv {
  std::vector<std::byte> weight;
  std::vector<KGroup> groups;
};

/// The groups for images of this problem's size.
std::vector<KGroup> groups_in(const ConvProblem& problem, std::vector<KGroup> groups);

/// Device pointers of one convolution. Bias is [out_pitch] float32 (float16 where the kernel reads_half_bias()), zeros behind the channels.
struct ConvMemory {
  const void* in = nullptr;
  void* out = nullptr;
  const void* weight = nullptr;
  const KGroup* groups = nullptr;
  const void* bias = nullptr;
  const void* residual = nullptr;
  void* workspace = nullptr;
  Activation activation;
};

struct ConvKernel;

/// What the kernels of one algorithm have in common.
struct ConvAlgorithm {
  const char* (*refuse)(const ConvKernel&, const ConvProblem&);
  Counts (*count)(const ConvKernel&, const ConvProblem&);
  std::int64_t (*workspace)(const ConvProblem&);
  PackedConv (*pack)(const ConvProblem&, std::span<const float> weight);
  void (*calls)(const ConvKernel&, const ConvProblem&, const ConvMemory&, std::vector<Call>&);
};

struct ConvKernel {
  const char* name;
  Precision precision;
  int capability;     ///< the least it runs on
  KernelId kernel;    ///< what is launched (the last of several)
  int rows, columns;  ///< pixels and channels of a block's tile, where it has one
  int registers;      ///< of a thread, as nvcc 13.0 reports for compute capability 9.0
  const ConvAlgorithm* algorithm;

  /// Why it does not apply; null when it does.
  const char* refuse(const ConvProblem& p, const Gpu& gpu) const;
  Counts count(const ConvProblem& p) const { return algorithm->count(*this, p); }
  double cost(const ConvProblem& p, const Gpu& gpu) const;
  bool reads_plain_input() const;
  bool calls_cublas() const;
  bool reads_half_bias() const;
};

/// In order of preference between equals; the direct kernels, which refuse nothing, come last.
std::span<const ConvKernel> conv_kernels();
/// By name; null when there is none.
const ConvKernel* find_conv_kernel(std::string_view name);

}  // namespace konv::cuda
