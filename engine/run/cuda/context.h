// The memory one run on a GPU needs: arena, workspace, pinned inputs and outputs, and the network as a CUDA graph. One thread at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/run/cuda/cpu_step.h"
#include "engine/run/cuda/executable.h"
#include "kernels/cuda/calls.h"

namespace konv::run {

class CudaContext {
 public:
  explicit CudaContext(std::shared_ptr<const CudaExecutable> executable);
  ~CudaContext();

  const CudaExecutable& executable() const { return *executable_; }

  /// Copies the bytes of graph input `index` (row-major) into pinned memory.
  void set_input(std::size_t index, const void* bytes);
  /// Copies graph output `index` out of pinned memory (row-major).
  void get_output(std::size_t index, void* bytes) const;
  std::int64_t output_bytes(std::size_t index) const;

  /// Inputs to the device, all steps, outputs back: one graph launch where no step runs on the CPU. Returns when the outputs are there.
  void run();
  /// The same step by step between events, and adds each step's time on the device to `seconds`. Copies of inputs and outputs are not in it.
  void run_timed(std::span<double> seconds);

 private:
  struct Part;  // steps that run on the device one after another, or one step on the CPU

  void* address(int value) const;
  void copy_inputs();
  void copy_outputs();
  void issue(std::size_t step);
  void capture(Part& part, bool first, bool last);

  std::shared_ptr<const CudaExecutable> executable_;
  CudaStream stream_;
  DeviceMemory arena_, workspace_;
  std::vector<std::int64_t> input_offsets_, output_offsets_;  // in the pinned memory
  std::unique_ptr<PinnedMemory> pinned_;
  std::vector<std::vector<cuda::Call>> calls_;  // by step
  std::vector<Part> parts_;
  std::vector<CudaEvent> events_;  // one before every step and one after the last, made by the first run_timed
};

}  // namespace konv::run
