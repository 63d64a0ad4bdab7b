// The CUDA plug-in: found beside libkonv, loaded when a device is asked for, never before.
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/table.h"

namespace konv::run {

struct CudaPlugin {
  const konv_cuda_table* table = nullptr;  ///< null: `missing` tells why
  std::string missing;                     ///< "no CUDA plug-in: ...", "no CUDA driver ..."
  std::vector<konv_cuda_device> devices;   ///< empty when the driver sees none
};

/// Loads it on first use. Thread-safe.
const CudaPlugin& cuda_plugin();

/// The same from a file; for tests.
CudaPlugin load_cuda_plugin(const std::string& path);

/// What cost models are told about a device that is there.
cuda::Gpu gpu_of(const konv_cuda_device& device);

}  // namespace konv::run
