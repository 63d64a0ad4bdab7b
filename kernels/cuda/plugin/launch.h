// The kernels of the plug-in by their numbers in kernels.inc.
#pragma once

#include "kernels/cuda/plugin/error.h"
#include "kernels/cuda/table.h"

namespace konv::cuda {

int kernel_count();
/// Once per device that is current: kernels may take all the shared memory there is.
int prepare_kernels();
int launch_kernel(Stream& stream, const konv_cuda_launch& call);

}  // namespace konv::cuda
