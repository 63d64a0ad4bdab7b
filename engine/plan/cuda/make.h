// Plans for a GPU, which need not be here: NHWC images with channels padded to whole chunks of 16 bytes, weights packed once, one arena on the device.
#pragma once

#include <map>
#include <string>

#include "engine/plan/plan.h"
#include "kernels/cuda/gpu.h"

namespace konv::plan {

struct CudaTarget {
  cuda::Gpu gpu;
  std::string device;  ///< as the plan names it: "cuda:0", "cuda:h200"
  cuda::Precision precision = cuda::Precision::float32;
  std::string no_cublas;      ///< why no plan may call cuBLASLt; empty: it is there, or nobody has tried yet
  bool fallback_cpu = false;  ///< nodes without a kernel become steps on the CPU instead of an error
  std::map<std::string, std::string>
      asked_for;                  ///< node name to kernel name: no choice there, an error where that kernel refuses (convolutions)
  std::int64_t memory_limit = 0;  ///< bytes for weights, arena and workspace together; 0 = none
};

/// Kernel of steps that run on the CPU.
inline constexpr const char* kCpuStep = "cpu";

/// Does a step call cuBLASLt?
bool calls_cublas(const Plan& plan);

/// Throws konv::Error that names every node without a kernel and why, unless the target falls back.
Plan make_for_cuda(const Graph& graph, const std::map<ValueId, Dims>& input_shapes, const CudaTarget& target);

}  // namespace konv::plan
