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

ThreadPool::ThreadPool(int threads) : shares_(static_cast<std::size_t>(threads > 0 ? threads : usable_cores())), done_(shares_.size()) {
  for (int i = 1; i < static_cast<int>(shares_.size()); ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::claim(Share& share, std::int64_t& chunk) {
  std::uint64_t ticket = share.ticket.load(std::memory_order_acquire);
  while (static_cast<std::uint32_t>(ticket) != 0) {
    if (share.ticket.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      chunk = share.end - static_cast<std::int64_t>(static_cast<std::uint32_t>(ticket));
      return true;
    }
  }
  return false;
}

void ThreadPool::work_off(int thread) {
  std::atomic<std::int64_t>& mine = done_[static_cast<std::size_t>(thread)].chunks;
  for (int i = 0; i < threads(); ++i) {
    Share& share = shares_[static_cast<std::size_t>((thread + i) % threads())];
    std::int64_t chunk = 0, count = 0;
    for (; claim(share, chunk); ++count) share.function(chunk, thread);
    if (count > 0) mine.store(mine.load(std::memory_order_relaxed) + count, std::memory_order_release);
  }
}

std::int64_t ThreadPool::done() const {
  std::int64_t sum = 0;
  for (const Done& thread : done_) sum += thread.chunks.load(std::memory_order_acquire);
  return sum;
}

void ThreadPool::run(std::int64_t chunks, ChunkFunction f) {
  if (workers_.empty() || chunks <= 1 || chunks > kMaxChunks) {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) f(chunk, 0);
    return;
  }
  published_ += chunks;
  const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  epoch_.store(epoch, std::memory_order_relaxed);
  for (int i = threads(); i-- > 0;) {  // others' first, who have farther to go
    Share& share = shares_[static_cast<std::size_t>(i)];
    share.function = f;
    share.end = chunks * (i + 1) / threads();
    const auto size = static_cast<std::uint64_t>(share.end - chunks * i / threads());
    share.ticket.store(static_cast<std::uint64_t>(epoch) << 32 | size, std::memory_order_release);
  }
  if (sleeping_.load(std::memory_order_relaxed) > 0) epoch_.notify_all();
  work_off(0);
  // Who fell asleep meanwhile has seen the new epoch or is seen here. Not above, where it would wait for the stores to arrive.
  if (sleeping_.fetch_add(0, std::memory_order_seq_cst) > 0) epoch_.notify_all();
  // What is left is in the hands of running workers: spin, and let them have this core if there are fewer cores than threads.
  for (int spins = 0; done() != published_; ++spins) {
    if (spins < 2000) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::work(int thread) {
  const std::atomic<std::uint64_t>& ticket = shares_[static_cast<std::size_t>(thread)].ticket;
  const auto epoch = [&] { return static_cast<std::uint32_t>(ticket.load(std::memory_order_acquire) >> 32); };
  std::uint32_t seen = 0;
  auto idle_since = std::chrono::steady_clock::now();
  while (!stop_.load(std::memory_order_relaxed)) {
    for (int i = 0; i < 64 && epoch() == seen; ++i) pause();
    if (const std::uint32_t now = epoch(); now != seen) {
      seen = now;
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
