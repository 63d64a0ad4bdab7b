// The memory one run on a GPU needs: arena, workspace, pinned inputs and outputs, and the network as a CUDA graph. One thread at a time.
#pragma once

#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "engine/run/cuda/cpu_step.h"
#include "engine/run/cuda/executable.h"
#include "kernels/cuda/calls.h"

namespace konv::run {

class CudaContext {
 public:
  /// `arenas`: so many take turns in run_timed(); see arenas_beyond_l2().
  explicit CudaContext(std::shared_ptr<const CudaExecutable> executable, int arenas = 1);
  ~CudaContext();

  const CudaExecutable& executable() const { return *executable_; }

  /// Copies the bytes of graph input `index` (row-major) into pinned memory.
  void set_input(std::size_t index, const void* bytes);
  /// Copies graph output `index` out of pinned memory (row-major).
  void get_output(std::size_t index, void* bytes) const;
  std::int64_t output_bytes(std::size_t index) const;

  /// Inputs to the device, all steps, outputs back: one graph launch where no step runs on the CPU. Returns when the outputs are there.
  void run();
  /// The same step by step between events, in the next arena, and adds each step's time on the device to `seconds`. Copies of inputs and outputs are not in it.
  void run_timed(std::span<double> seconds);

 private:
  struct Part;  // steps that run on the device one after another, or one step on the CPU

  /// A step's work with all pointers settled.
  using Work = std::variant<cuda::Launch, CudaProduct>;
  struct Arena {
    std::byte* begin = nullptr;
    std::vector<std::vector<Work>> steps;
  };

  void bind(Arena& arena);
  void copy_inputs(const Arena& arena);
  void copy_outputs(const Arena& arena);
  void issue(const Arena& arena, std::size_t step);
  void capture(Part& part, bool first, bool last);

  std::shared_ptr<const CudaExecutable> executable_;
  CudaStream stream_;
  DeviceMemory memory_, workspace_;                           // all arenas behind each other
  std::vector<std::int64_t> input_offsets_, output_offsets_;  // in the pinned memory
  std::unique_ptr<PinnedMemory> pinned_;
  std::vector<Arena> arenas_;  // run() works in the first
  std::size_t turn_ = 0;       // of run_timed()
  std::vector<Part> parts_;
  std::vector<CudaEvent> events_;  // one before every step and one after the last, made by the first run_timed
};

/// Arenas that together are twice the GPU's L2 cache, at least 2: when the turn comes to one again, nothing of it is left there.
int arenas_beyond_l2(const plan::Plan& plan, const cuda::Gpu& gpu);

}  // namespace konv::run
