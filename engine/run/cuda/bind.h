// Steps of a plan for a GPU as calls with settled pointers.
#pragma once

#include <vector>

#include "engine/run/cuda/executable.h"
#include "kernels/cuda/calls.h"

namespace konv::run {

/// Device address of a value: in the arena, or a constant's.
void* device_address(const CudaExecutable& executable, int value, std::byte* arena);

/// The calls of step `index`; none for a step on the CPU.
std::vector<cuda::Call> bind_cuda(const CudaExecutable& executable, std::size_t index, std::byte* arena, void* workspace);

}  // namespace konv::run
