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

constexpr auto kSpin = std::chrono::microseconds(200);
constexpr std::int64_t kMaxChunks = 0xffffffff;

}  // namespace

ThreadPool::ThreadPool(int threads) : shares_(static_cast<std::size_t>(threads > 0 ? threads : usable_cores())) {
  for (int i = 1; i < static_cast<int>(shares_.size()); ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::claim(int share, std::int64_t& chunk) {
  std::atomic<std::uint64_t>& its = shares_[static_cast<std::size_t>(share)].ticket;
  std::uint64_t ticket = its.load(std::memory_order_acquire);
  while (static_cast<std::uint32_t>(ticket) != 0) {
    if (its.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      // The job cannot end before this chunk is done, so job_ may be read from here on.
      chunk = share_end(share) - static_cast<std::int64_t>(static_cast<std::uint32_t>(ticket));
      return true;
    }
  }
  return false;
}

bool ThreadPool::work_off(int thread) {
  bool worked = false;
  for (int i = 0; i < threads(); ++i) {
    std::int64_t chunk = 0;
    while (claim((thread + i) % threads(), chunk)) {
      (*job_.function)(chunk, thread);
      done_.fetch_add(1, std::memory_order_acq_rel);
      worked = true;
    }
  }
  return worked;
}

void ThreadPool::run(std::int64_t chunks, ChunkFunction f) {
  if (workers_.empty() || chunks <= 1 || chunks > kMaxChunks) {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) f(chunk, 0);
    return;
  }
  job_ = {&f, chunks};
  done_.store(0, std::memory_order_relaxed);
  const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  for (int i = 0; i < threads(); ++i) {
    const auto size = static_cast<std::uint64_t>(share_end(i) - share_end(i - 1));
    shares_[static_cast<std::size_t>(i)].ticket.store(static_cast<std::uint64_t>(epoch) << 32 | size, std::memory_order_release);
  }
  epoch_.store(epoch, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst) > 0) epoch_.notify_all();
  work_off(0);
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
  std::uint32_t seen = 0;
  auto idle_since = std::chrono::steady_clock::now();
  while (!stop_.load(std::memory_order_relaxed)) {
    for (int i = 0; i < 64 && epoch_.load(std::memory_order_acquire) == seen; ++i) pause();
    const std::uint32_t epoch = epoch_.load(std::memory_order_acquire);
    if (epoch != seen) {
      seen = epoch;
      work_off(thread);
      idle_since = std::chrono::steady_clock::now();
    } else if (std::chrono::steady_clock::now() - idle_since > kSpin) {
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      epoch_.wait(seen, std::memory_order_seq_cst);  // returns at once if a job was published before `sleeping_` was raised
      sleeping_.fetch_sub(1, std::memory_order_seq_cst);
      idle_since = std::chrono::steady_clock::now();
    }
  }
}

}  // namespace konv
