// Kernels by number.
#include "kernels/cuda/device.h"
#include "kernels/cuda/params.h"
#include "kernels/cuda/plugin/error.h"
#include "kernels/cuda/plugin/launch.h"

namespace konv::cuda {

#define KONV_CUDA(name, Params, threads) __global__ void name(const __grid_constant__ Params p);
#include "kernels/cuda/kernels.inc"
#undef KONV_CUDA

namespace {

struct Kernel {
  const void* function;
  std::size_t params_bytes;
  const char* name;
};

const Kernel kKernels[] = {
#define KONV_CUDA(name, Params, threads) {reinterpret_cast<const void*>(&name), sizeof(Params), #name},
#include "kernels/cuda/kernels.inc"
#undef KONV_CUDA
};

}  // namespace

int kernel_count() { return static_cast<int>(sizeof kKernels / sizeof *kKernels); }

int prepare_kernels() {
  for (const Kernel& kernel : kKernels) {
    cudaFuncAttributes attributes;
    if (check(cudaFuncGetAttributes(&attributes, kernel.function), kernel.name)) return 1;
    int device = 0, most = 0;
    if (check(cudaGetDevice(&device), "cudaGetDevice") ||
        check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "cudaDeviceGetAttribute"))
      return 1;
    const int dynamic = most - static_cast<int>(attributes.sharedSizeBytes);
    if (check(cudaFuncSetAttribute(kernel.function, cudaFuncAttributeMaxDynamicSharedMemorySize, dynamic), kernel.name)) return 1;
  }
  return 0;
}

int launch_kernel(Stream& stream, const konv_cuda_launch& call) {
  if (call.kernel < 0 || call.kernel >= kernel_count()) {
    last_error() = "launch: no kernel " + std::to_string(call.kernel);
    return 1;
  }
  const Kernel& kernel = kKernels[call.kernel];
  if (call.params_bytes != kernel.params_bytes) {
    last_error() = std::string("launch: ") + kernel.name + " takes " + std::to_string(kernel.params_bytes) + " bytes of parameters, not " +
                   std::to_string(call.params_bytes);
    return 1;
  }
  const OnDevice on(stream.device);
  void* arguments[] = {const_cast<void*>(call.params)};
  return check(cudaLaunchKernel(kernel.function, dim3(call.grid[0], call.grid[1], call.grid[2]), dim3(call.threads), arguments,
                                call.shared_bytes, stream.stream),
               kernel.name);
}

}  // namespace konv::cuda
