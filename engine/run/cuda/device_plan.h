// Plans for a GPU that is here.
#pragma once

#include "engine/plan/cuda/make.h"
#include "engine/run/cuda/device.h"

namespace konv::run {

/// Opens cuBLASLt; where that fails, `target` remembers why, and plans for it call none of it.
void open_cublas(plan::CudaTarget& target, const CudaDevice& device);

/// A plan that the device can run. cuBLASLt counts as there until a plan picks it, and is opened only then; where that fails, the plan is made again without it.
plan::Plan plan_for(const Graph& graph, const std::map<ValueId, Dims>& input_shapes, plan::CudaTarget& target, const CudaDevice& device);

}  // namespace konv::run
