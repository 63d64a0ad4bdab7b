// A node without a CUDA kernel, run on the CPU between two parts of the network (--fallback cpu).
#pragma once

#include <memory>
#include <vector>

#include "engine/run/context.h"
#include "engine/run/cuda/executable.h"
#include "engine/run/network.h"

namespace konv::run {

class CpuStep {
 public:
  /// The node of step `index`, as a network of its own. Throws konv::Error when the CPU has no kernel either.
  CpuStep(const CudaExecutable& executable, std::size_t index);

  /// Waits for the stream, fetches the inputs, computes and sends the output. Serial: it is a stopgap.
  void run(const CudaExecutable& executable, std::byte* arena, void* stream);

 private:
  std::size_t index_;
  std::vector<int> inputs_;  // values of the plan, in the small network's order
  std::unique_ptr<Network> network_;
  std::unique_ptr<Context> context_;
  std::vector<std::byte> bytes_;
};

}  // namespace konv::run
