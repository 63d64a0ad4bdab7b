// Data movement: transpose, slice, concat, expand and pad are all copies between strided views of one and the same sizes.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/kernel.h"

namespace konv {

struct CopyShape {
  std::int64_t count = 0;
  int element_bytes = 4;  ///< 1, 2, 4 or 8
};

struct CopyArgs {
  CopyShape shape;
  TensorView in, out;  ///< equal sizes; strides of `in` may be 0 or negative
};

using CopyCode = Code<CopyShape, CopyArgs>;
using CopyKernel = Kernel<CopyShape, CopyCode>;
std::span<const CopyKernel> copy_kernels();

/// Writes one value (the first element_bytes of `value`) into a strided view.
struct FillArgs {
  CopyShape shape;
  TensorView out;
  std::uint64_t value;
};

using FillCode = Code<CopyShape, FillArgs>;
using FillKernel = Kernel<CopyShape, FillCode>;
std::span<const FillKernel> fill_kernels();

/// Moves an image between layouts: plain to blocked (pad lanes get the fill), blocked to plain, or with another halo. Interiors only;
/// the ring around the output is a fill of its own.
struct ReorderShape {
  std::int64_t batch = 1, channels = 0, height = 0, width = 0;
  int in_block = 1, out_block = 1;  ///< 1 = plain
  int element_bytes = 4;
};

struct ReorderArgs {
  ReorderShape shape;
  TensorView in, out;
  std::uint64_t fill = 0;
};

using ReorderCode = Code<ReorderShape, ReorderArgs>;
using ReorderKernel = Kernel<ReorderShape, ReorderCode>;
std::span<const ReorderKernel> reorder_kernels();

/// Writes the ring around an image's interior, in every channel.
struct HaloArgs {
  ReorderShape shape;  ///< in_block is not read
  TensorView out;      ///< points at the interior
  int top, left, bottom, right;
  std::uint64_t fill;
};

using HaloCode = Code<ReorderShape, HaloArgs>;
using HaloKernel = Kernel<ReorderShape, HaloCode>;
std::span<const HaloKernel> halo_kernels();

}  // namespace konv
