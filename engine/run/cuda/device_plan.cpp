#include "engine/run/cuda/device_plan.h"

namespace konv::run {

void open_cublas(plan::CudaTarget& target, const CudaDevice& device) {
  if (target.no_cublas.empty() && device.table->product_open() != 0) target.no_cublas = device.table->last_error();
}

plan::Plan plan_for(const Graph& graph, const std::map<ValueId, Dims>& input_shapes, plan::CudaTarget& target, const CudaDevice& device) {
  plan::Plan plan = plan::make_for_cuda(graph, input_shapes, target);
  if (!plan::calls_cublas(plan)) return plan;
  open_cublas(target, device);
  return target.no_cublas.empty() ? plan : plan::make_for_cuda(graph, input_shapes, target);
}

}  // namespace konv::run
