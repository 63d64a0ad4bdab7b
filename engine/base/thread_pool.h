// A small pool of threads that share the chunks of one layer after another.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <thread>
#include <type_traits>
#include <vector>

namespace konv {

/// A call that lasts no longer than the function it is handed to; no allocation.
class ChunkFunction {
 public:
  ChunkFunction() = default;
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, ChunkFunction>) ChunkFunction(const F& f)  // NOLINT: converts from any callable
      : object_(&f), call_([](const void* object, std::int64_t chunk, int thread) { (*static_cast<const F*>(object))(chunk, thread); }) {}
  void operator()(std::int64_t chunk, int thread) const { call_(object_, chunk, thread); }

 private:
  const void* object_ = nullptr;
  void (*call_)(const void*, std::int64_t, int) = nullptr;
};

/// Calls of a function for every chunk in [0, chunks).
struct Job {
  ChunkFunction function;
  std::int64_t chunks = 0;
  bool shared = true;  ///< false: not worth handing out
};

/// Every thread has a share of consecutive chunks, the same part of every job, so that it mostly reads what it wrote itself; who has none left helps the
/// next. Chunks are claimed one by one: a thread that the operating system has taken off its core holds at most one, so nobody waits for a thread that has
/// nothing to do. Idle threads spin for about 200 us, which bridges the gap between layers and what a caller does between two runs, then sleep.
///
/// A cache line on its way from core to core takes as long as hundreds of multiply-adds, so few pass between two jobs: the caller publishes a job while the
/// one before is under way, and each thread begins it when it sees that all chunks before are done.
class ThreadPool {
 public:
  /// `threads` in all, the caller of run() included; 0 = one per core that this process may use.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(shares_.size()); }

  /// Calls f(chunk, thread) for every chunk of a job, 0 <= thread < threads(), then of the next, and returns when all are done. Only for the holder of the
  /// pool.
  void run(std::span<const Job> jobs);
  void run(std::int64_t chunks, ChunkFunction f) {
    const Job job{f, chunks};
    run({&job, 1});
  }

  /// Takes the pool for a whole inference; false when somebody else has it (then work serially).
  bool try_acquire() { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() { busy_.store(false, std::memory_order_release); }

 private:
  /// One thread's chunks of a job.
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> ticket{0};  // the job's number << 32 | chunks nobody has claimed yet
    std::atomic<std::int64_t> after{0};    // begins when so many chunks are done
    ChunkFunction function;                // what follows is read by who has claimed a chunk: the job cannot end before
    std::int64_t end = 0;
  };
  using Share = std::array<Slot, 2>;  // of jobs of even and of odd numbers

  /// Chunks that a thread has done in its life; only that thread writes.
  struct alignas(64) Done {
    std::atomic<std::int64_t> chunks{0};
  };

  void work(int thread);
  void publish(const Job& job);
  /// Claims and calls until nobody has any of the job's chunks left.
  void work_off(std::uint32_t number, int thread);
  static std::int64_t claim(Slot& slot, std::uint32_t number);
  std::int64_t done() const;
  void count(int thread, std::int64_t chunks);
  void wait_for(std::int64_t chunks) const;

  std::vector<Share> shares_;
  std::vector<Done> done_;
  std::int64_t published_ = 0;                        // chunks of all jobs so far
  alignas(64) std::atomic<std::uint32_t> newest_{0};  // job: sleepers wait for it to change
  alignas(64) std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> busy_{false};
  std::vector<std::thread> workers_;
};

}  // namespace konv
