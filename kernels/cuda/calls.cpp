#include "kernels/cuda/calls.h"

namespace konv::cuda {

std::span<const KernelInfo> kernel_list() {
  static constexpr KernelInfo kKernels[] = {
#define KONV_CUDA(name, Params, threads) {#name, sizeof(Params), threads},
#include "kernels/cuda/kernels.inc"
#undef KONV_CUDA
  };
  return kKernels;
}

const char* build_id() { return KONV_CUDA_BUILD_ID; }

}  // namespace konv::cuda
