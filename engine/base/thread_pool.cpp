#include "engine/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>

namespace konv {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

constexpr auto kSpin = std::chrono::microseconds(50);
constexpr std::int64_t kMaxChunks = 0xffffffff;

}  // namespace

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = usable_cores();
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  wake_.fetch_add(1);
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::claim(std::int64_t& chunk) {
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (static_cast<std::uint32_t>(ticket) != 0) {
    if (ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      // The job cannot end before this chunk is done, so job_ may be read from here on.
      chunk = job_.chunks - static_cast<std::int64_t>(static_cast<std::uint32_t>(ticket));
      return true;
    }
  }
  return false;
}

void ThreadPool::run(std::int64_t chunks, ChunkFunction f) {
  if (workers_.empty() || chunks <= 1 || chunks > kMaxChunks) {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) f(chunk, 0);
    return;
  }
  job_ = {&f, chunks};
  done_.store(0, std::memory_order_relaxed);
  ++epoch_;
  ticket_.store(static_cast<std::uint64_t>(epoch_) << 32 | static_cast<std::uint64_t>(chunks), std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) {
    wake_.fetch_add(1, std::memory_order_seq_cst);
    wake_.notify_all();
  }
  std::int64_t chunk = 0;
  while (claim(chunk)) {
    f(chunk, 0);
    done_.fetch_add(1, std::memory_order_acq_rel);
  }
  // What is left is in the hands of running workers: spin, and let them have this core if there are fewer cores than threads.
  for (int spins = 0; done_.load(std::memory_order_acquire) != chunks; ++spins) {
    if (spins < 2000) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::work(int thread) {
  auto idle_since = std::chrono::steady_clock::now();
  while (!stop_.load(std::memory_order_relaxed)) {
    std::int64_t chunk = 0;
    bool worked = false;
    while (claim(chunk)) {
      (*job_.function)(chunk, thread);
      done_.fetch_add(1, std::memory_order_acq_rel);
      worked = true;
    }
    if (worked) idle_since = std::chrono::steady_clock::now();
    for (int i = 0; i < 64; ++i) pause();
    if (std::chrono::steady_clock::now() - idle_since < kSpin) continue;

    const std::uint32_t seen = wake_.load(std::memory_order_seq_cst);
    sleeping_.fetch_add(1, std::memory_order_seq_cst);
    // Work published before `sleeping_` was raised would wake nobody: look once more.
    if (static_cast<std::uint32_t>(ticket_.load(std::memory_order_seq_cst)) == 0 && !stop_.load(std::memory_order_seq_cst))
      wake_.wait(seen);
    sleeping_.fetch_sub(1, std::memory_order_seq_cst);
    idle_since = std::chrono::steady_clock::now();
  }
}

}  // namespace konv
