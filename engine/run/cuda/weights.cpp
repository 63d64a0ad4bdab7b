#include "engine/run/cuda/weights.h"

#include "engine/plan/cuda/weight.h"

namespace konv::run {

std::shared_ptr<const PackedOnDevice> CudaWeights::get(const Graph& graph, ValueId weight, const cuda::ConvKernel& kernel,
                                                       const cuda::ConvProblem& problem, const plan::GemmStep* gemm) {
  const Key key{weight.index,
                reinterpret_cast<std::uintptr_t>(kernel.algorithm->pack),
                kernel.precision,
                problem.shape.dilation_h,
                problem.shape.dilation_w,
                gemm ? gemm->alpha : 1.0f,
                gemm && gemm->transpose_b};
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const PackedOnDevice>& entry = packed_[key];
  if (entry) return entry;
  std::vector<float> values = plan::weight_values(graph, weight);
  if (gemm) values = plan::product_weight(*gemm, values);
  cuda::PackedConv packed = kernel.algorithm->pack(problem, values);
  const auto made = std::make_shared<PackedOnDevice>(device_, packed.weight.size(), std::move(packed.groups));
  const CudaStream stream(device_);
  device_.check(device_.table->copy_to_device(stream.get(), made->weight.data(), packed.weight.data(), packed.weight.size()),
                "copying a weight");
  device_.check(device_.table->synchronize(stream.get()), "copying a weight");
  return entry = made;
}

}  // namespace konv::run
