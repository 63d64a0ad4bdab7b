// Weights on a device as the kernels read them, shared by all executables of a model, so that another batch size packs and sends nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/plan/plan.h"
#include "engine/run/cuda/device.h"
#include "kernels/cuda/conv/conv.h"

namespace konv::run {

struct PackedOnDevice {
  PackedOnDevice(const CudaDevice& device, std::size_t bytes, std::vector<cuda::KGroup> g) : weight(device, bytes), groups(std::move(g)) {}

  DeviceMemory weight;
  std::vector<cuda::KGroup> groups;  ///< on the host; groups_in() makes them those of an image's size
};

/// One graph's weights on one device. Thread-safe.
class CudaWeights {
 public:
  explicit CudaWeights(const CudaDevice& device) : device_(device) {}

  const CudaDevice& device() const { return device_; }
  /// The packing of constant `weight` for `kernel`, made on first use; `gemm` where the step is a product. Throws konv::Error when the device has no room.
  std::shared_ptr<const PackedOnDevice> get(const Graph& graph, ValueId weight, const cuda::ConvKernel& kernel,
                                            const cuda::ConvProblem& problem, const plan::GemmStep* gemm);

 private:
  // A packing depends on the constant, how it is packed and for which type, the distances of taps, and how a product uses it.
  using Key = std::tuple<int, std::uintptr_t, cuda::Precision, std::int64_t, std::int64_t, float, bool>;

  const CudaDevice device_;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const PackedOnDevice>> packed_;
};

}  // namespace konv::run
