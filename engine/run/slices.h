// A batch run in slices: each goes through the whole network before the next one starts, so that what layers hand on stays in a cache. Threads take
// slices rather than parts of layers where there are enough of them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/run/context.h"
#include "engine/run/network.h"

namespace konv::run {

/// Images of a slice for which the plans promise the shortest run among those that fit options.memory_limit; the whole batch where that is best or where images
/// are not independent, one image where nothing fits (plan::make() may then spare memory, or says why not). Never depends on the number of threads, unless
/// memory is limited: kernels are chosen for a slice's shape.
std::int64_t best_slice(const Network& network, const std::vector<Dims>& input_shapes, const Machine& machine,
                        const plan::Options& options);

/// Slices that run at a time, each in an arena of its own: threads take slices where there are enough, else they share the layers of one after another.
std::int64_t arenas_for(std::int64_t images, std::int64_t slice, std::int64_t threads);

/// What a Context is, for a batch larger than its executable's. Slices are of one size; the last ones overlap.
class SlicedContext {
 public:
  /// `slice`: planned for fewer images; `images`: of the whole batch.
  SlicedContext(std::shared_ptr<const Executable> slice, std::int64_t images, int threads);

  const Executable& executable() const { return contexts_.front()->executable(); }
  std::int64_t images() const { return images_; }
  std::int64_t slices() const { return slices_; }
  /// Slices that may run at a time, each in an arena of its own.
  std::int64_t arenas() const { return static_cast<std::int64_t>(contexts_.size()); }

  /// The bytes must stay until run() returns.
  void set_input(std::size_t index, const void* bytes) { inputs_[index] = static_cast<const std::byte*>(bytes); }
  void get_output(std::size_t index, void* bytes) const;
  std::int64_t output_bytes(std::size_t index) const { return static_cast<std::int64_t>(outputs_[index].size()); }

  void run(ThreadPool* pool);
  /// Adds each step's time, over all slices, divided by the threads at work.
  void run_timed(ThreadPool* pool, std::span<double> seconds);

 private:
  template <class Run>
  void each_slice(ThreadPool* pool, const Run& run);

  std::vector<std::unique_ptr<Context>> contexts_;  // by thread
  std::int64_t images_, slice_, slices_;
  std::vector<const std::byte*> inputs_;
  std::vector<std::int64_t> input_stride_, output_stride_;  // bytes of an image
  std::vector<std::vector<std::byte>> outputs_;
  std::vector<std::byte> spare_;              // of the slice that overlaps
  std::vector<std::vector<double>> seconds_;  // by thread
};

}  // namespace konv::run
