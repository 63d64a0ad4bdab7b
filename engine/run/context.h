// The memory one run needs: arena, workspaces, arguments. One thread at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/run/bind.h"
#include "engine/run/executable.h"

namespace konv::run {

class Context {
 public:
  /// `threads`: how many may run chunks at a time.
  Context(std::shared_ptr<const Executable> executable, int threads);

  const Executable& executable() const { return *executable_; }

  /// Copies the bytes of graph input `index` in (row-major), with a pool's threads if there is one.
  void set_input(std::size_t index, const void* bytes, ThreadPool* pool = nullptr);
  /// Copies graph output `index` out (row-major).
  void get_output(std::size_t index, void* bytes) const;
  std::int64_t output_bytes(std::size_t index) const;

  /// Runs all steps. `pool` may be null: then serially. Allocates nothing.
  void run(ThreadPool* pool);
  /// The same, and adds each step's wall time to `seconds` (one entry per step of the plan).
  void run_timed(ThreadPool* pool, std::span<double> seconds);

  std::int64_t arena_bytes() const { return arena_bytes_; }

 private:
  /// A call and the workspaces for it.
  struct ChunkCall {
    const Call* call;
    std::byte* workspace;
    std::int64_t stride;
    void operator()(std::int64_t chunk, int thread) const { call->run(chunk, workspace + thread * stride); }
  };

  std::shared_ptr<const Executable> executable_;
  std::int64_t arena_bytes_ = 0, workspace_stride_ = 0;
  std::shared_ptr<std::byte> arena_, workspace_;
  std::vector<BoundCall> calls_;
  std::vector<ChunkCall> chunk_calls_;
  std::vector<Job> jobs_;  // one per call
};

}  // namespace konv::run
