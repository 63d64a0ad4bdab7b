// A plan for a GPU made ready: weights packed and on the device. Immutable; contexts share it.
#pragma once

#include <memory>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/plan/plan.h"
#include "engine/run/cuda/weights.h"
#include "kernels/cuda/conv/conv.h"

namespace konv::run {

/// What a step reads beside its inputs; null where it has none.
struct StepConstants {
  const void* weight = nullptr;
  const cuda::KGroup* groups = nullptr;
  std::int64_t group_count = 0;                    ///< with the one that makes it even
  const void* bias = nullptr;                      ///< [pitch] as the kernel reads it, zeros behind the channels
  const float *scale = nullptr, *shift = nullptr;  ///< [pitch], likewise
};

class CudaExecutable {
 public:
  /// Takes the weights from `weights`, which packs what it does not have. Throws konv::Error when the device has no room.
  CudaExecutable(std::shared_ptr<const Graph> graph, plan::Plan plan, cuda::Precision precision, CudaWeights& weights);

  const plan::Plan& plan() const { return plan_; }
  const Graph& graph() const { return *graph_; }
  const CudaDevice& device() const { return device_; }
  cuda::Precision precision() const { return precision_; }
  const StepConstants& constants(std::size_t step) const { return constants_[step]; }
  /// A constant image on the device; null for values that are none.
  const void* image(int value) const { return images_[static_cast<std::size_t>(value)]; }

 private:
  std::shared_ptr<const Graph> graph_;
  plan::Plan plan_;
  cuda::Precision precision_;
  CudaDevice device_;
  std::vector<std::shared_ptr<const PackedOnDevice>> packed_;  // by step
  std::vector<StepConstants> constants_;                       // by step
  std::vector<const void*> images_;                            // by value
  std::unique_ptr<DeviceMemory> memory_;
};

/// The convolution that a ConvStep or GemmStep is, for the kernel that was chosen.
cuda::ConvProblem conv_problem(const plan::Step& step, const cuda::ConvKernel& kernel);
/// The kernel of a ConvStep or GemmStep. Throws konv::Error for a name this build does not have.
const cuda::ConvKernel& conv_kernel(const plan::Step& step);

}  // namespace konv::run
