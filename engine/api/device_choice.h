// What --device means on this machine.
#pragma once

#include <optional>
#include <string>

#include <konv/konv.hpp>

#include "engine/plan/cuda/make.h"
#include "engine/run/cuda/device.h"

namespace konv::api {

struct GpuChoice {
  plan::CudaTarget target;
  std::optional<run::CudaDevice> device;  ///< none: a description of a GPU that is not here
};

/// The GPU that `options` names; nothing for the CPU. "auto" takes the first GPU where there is one. Throws konv::Error for a device that is not there and
/// for a precision that it does not compute in.
std::optional<GpuChoice> choose_gpu(const SessionOptions& options);

/// The same, and for "auto" the CPU where the graph has nodes without a CUDA kernel.
std::optional<GpuChoice> choose_gpu_for(const Graph& graph, const std::vector<Dims>& shapes, const SessionOptions& options);

/// What the options ask of plans for the CPU. Throws konv::Error for a precision that it does not compute in.
plan::Options options_on_cpu(const SessionOptions& options, int threads);

}  // namespace konv::api
