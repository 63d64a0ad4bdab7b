// Launches of the kernels that have one implementation per element type: grids follow from the parameters.
#pragma once

#include "kernels/cuda/calls.h"

namespace konv::cuda {

Launch launch_pool(Precision precision, bool average, const PoolParams& params);
Launch launch_binary(Precision precision, const BinaryParams& params);
Launch launch_affine(Precision precision, const AffineParams& params);
/// Element types of the two sides; the others are float32.
Launch launch_copy(bool in_half, bool out_half, const CopyParams& params);
Launch launch_fill(Precision precision, const FillParams& params);
/// float32 NCHW to NHWC, and back.
Launch launch_image_in(Precision precision, const ImageParams& params);
Launch launch_image_out(Precision precision, const ImageParams& params);
Launch launch_reduce(Precision precision, const ReduceParams& params);
Launch launch_softmax(Precision precision, const SoftmaxParams& params);

/// What a kernel that only moves so many bytes takes.
inline double traffic_seconds(double bytes, const Gpu& gpu) { return gpu.launch_seconds + bytes / gpu.dram_bandwidth; }

/// More threads than a grid has: flat launches of 128 threads end here.
inline constexpr std::int64_t kMaxItems = (std::int64_t{1} << 31) * 64;

}  // namespace konv::cuda
