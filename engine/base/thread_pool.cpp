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
constexpr std::int64_t kNone = -1;

bool is_shared(const Job& job) { return job.shared && job.chunks > 1 && job.chunks <= kMaxChunks; }

}  // namespace

ThreadPool::ThreadPool(int threads) : shares_(static_cast<std::size_t>(threads > 0 ? threads : usable_cores())), done_(shares_.size()) {
  for (int i = 1; i < static_cast<int>(shares_.size()); ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  newest_.fetch_add(1);
  newest_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

/// A chunk, or kNone.
std::int64_t ThreadPool::claim(Slot& slot, std::uint32_t number) {
  std::uint64_t ticket = slot.ticket.load(std::memory_order_acquire);
  while (ticket >> 32 == number && static_cast<std::uint32_t>(ticket) != 0) {
    if (slot.ticket.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire))
      return slot.end - static_cast<std::int64_t>(static_cast<std::uint32_t>(ticket));
  }
  return kNone;
}

void ThreadPool::count(int thread, std::int64_t chunks) {
  std::atomic<std::int64_t>& mine = done_[static_cast<std::size_t>(thread)].chunks;
  mine.store(mine.load(std::memory_order_relaxed) + chunks, std::memory_order_release);
}

std::int64_t ThreadPool::done() const {
  std::int64_t sum = 0;
  for (const Done& thread : done_) sum += thread.chunks.load(std::memory_order_acquire);
  return sum;
}

void ThreadPool::work_off(std::uint32_t number, int thread) {
  for (int i = 0; i < threads(); ++i) {
    Slot& slot = shares_[static_cast<std::size_t>((thread + i) % threads())][number % 2];
    std::int64_t chunks = 0;
    for (std::int64_t chunk = 0; (chunk = claim(slot, number)) != kNone; ++chunks) slot.function(chunk, thread);
    if (chunks > 0) count(thread, chunks);
  }
}

void ThreadPool::publish(const Job& job) {
  const std::int64_t after = published_;
  published_ += is_shared(job) ? job.chunks : 1;
  if (!is_shared(job)) return;
  const std::uint32_t number = newest_.load(std::memory_order_relaxed) + 1;
  newest_.store(number, std::memory_order_relaxed);
  for (int i = threads(); i-- > 0;) {  // others' first, who have farther to go
    Slot& slot = shares_[static_cast<std::size_t>(i)][number % 2];
    slot.after.store(after, std::memory_order_relaxed);
    slot.function = job.function;
    slot.end = job.chunks * (i + 1) / threads();
    const auto size = static_cast<std::uint64_t>(slot.end - job.chunks * i / threads());
    slot.ticket.store(static_cast<std::uint64_t>(number) << 32 | size, std::memory_order_release);
  }
  if (sleeping_.load(std::memory_order_relaxed) > 0) newest_.notify_all();
}

/// What is not done is in the hands of running workers: spin, and let them have this core if there are fewer cores than threads.
void ThreadPool::wait_for(std::int64_t chunks) const {
  for (int spins = 0; done() < chunks; ++spins) {
    if (spins < 2000) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::run(std::span<const Job> jobs) {
  const auto alone = [](const Job& job) {
    for (std::int64_t chunk = 0; chunk < job.chunks; ++chunk) job.function(chunk, 0);
  };
  if (workers_.empty() || (jobs.size() == 1 && !is_shared(jobs[0]))) {
    std::for_each(jobs.begin(), jobs.end(), alone);
    return;
  }
  if (!jobs.empty()) publish(jobs[0]);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const Job& job = jobs[i];
    const std::uint32_t number = newest_.load(std::memory_order_relaxed);
    wait_for(published_ - (is_shared(job) ? job.chunks : 1));
    Slot& slot = shares_[0][number % 2];
    // Claimed now, or it would wait until the stores of the next job's slots have arrived. Who used those slots is done: two jobs ago.
    const std::int64_t first = is_shared(job) ? claim(slot, number) : kNone;
    if (i + 1 < jobs.size()) publish(jobs[i + 1]);
    if (!is_shared(job)) {
      alone(job);
      count(0, 1);
      continue;
    }
    if (first != kNone) {
      slot.function(first, 0);
      // Who fell asleep meanwhile has seen the newest number or is seen here.
      if (sleeping_.fetch_add(0, std::memory_order_seq_cst) > 0) newest_.notify_all();
      count(0, 1);
    }
    work_off(number, 0);
  }
  wait_for(published_);
}

void ThreadPool::work(int thread) {
  const Share& mine = shares_[static_cast<std::size_t>(thread)];
  std::uint32_t seen = 0;
  auto idle_since = std::chrono::steady_clock::now();
  while (!stop_.load(std::memory_order_relaxed)) {
    const Slot& slot = mine[(seen + 1) % 2];
    const auto number = [&] { return static_cast<std::uint32_t>(slot.ticket.load(std::memory_order_acquire) >> 32); };
    const std::uint32_t next = number();
    const bool is_new = static_cast<std::int32_t>(next - seen) > 0;
    // A slot that is used again meanwhile has another number; it may ask for more chunks than this job, which is over then.
    const auto has_begun = [&] { return is_new && done() >= slot.after.load(std::memory_order_relaxed); };
    bool begun = has_begun();
    for (int i = 0; i < 64 && !begun && number() == next; ++i, begun = has_begun()) pause();
    if (begun) {
      seen = next;
      work_off(next, thread);
      idle_since = std::chrono::steady_clock::now();
    } else if (std::chrono::steady_clock::now() - idle_since > kSpin) {
      if (is_new) {
        std::this_thread::yield();
        continue;
      }
      sleeping_.fetch_add(1, std::memory_order_seq_cst);
      newest_.wait(seen, std::memory_order_seq_cst);  // returns at once if a job was published before `sleeping_` was raised
      sleeping_.fetch_sub(1, std::memory_order_seq_cst);
      idle_since = std::chrono::steady_clock::now();
    }
  }
}

}  // namespace konv
