#include "tests/support/simt/interpreter.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <tuple>
#include <utility>

#include "tests/support/simt/fiber.h"

namespace konv::simt {
namespace {

struct Copy {
  void* to;
  const void* from;
};

enum class State : std::uint8_t { ready, at_barrier, at_operation, done };

struct Thread {
  Fiber fiber;
  Dim3 index;
  int number = 0;
  State state = State::ready;
  const char* what = "";  // the operation it waits at
  WarpOperation operation = nullptr;
  void* operand = nullptr;
  Site site;
  std::deque<std::vector<Copy>> groups;  // committed, oldest first
  std::vector<Copy> open;
};

/// The accesses of one warp at one place of the source: the n-th of every lane belong together.
struct Instruction {
  struct Turn {
    std::uintptr_t address[kWarp];
    std::uint32_t lanes = 0;
  };
  int turns_of_lane[kWarp] = {};
  std::vector<Turn> turns;
};

struct Block {
  Dim3 grid, size, index;
  const std::function<void()>* body = nullptr;
  const Options* options = nullptr;
  std::vector<std::unique_ptr<Thread>> threads;
  Thread* current = nullptr;
  std::byte* shared = nullptr;
  std::size_t shared_bytes = 0;
  std::exception_ptr failure;
  Counters counters;
  std::mt19937_64 random;
  std::vector<int> lane_order, warp_order;
  // (warp, kind, bytes, file, line, column)
  std::map<std::tuple<int, Access, std::size_t, const char*, unsigned, unsigned>, Instruction> instructions;
};

thread_local Block* block = nullptr;

std::string place(const Site& site) {
  const char* slash = std::strrchr(site.file_name(), '/');
  return std::string(slash ? slash + 1 : site.file_name()) + ":" + std::to_string(site.line());
}

[[noreturn]] void fail(const std::string& what) {
  const Dim3& b = block->index;
  std::string where = "block (" + std::to_string(b.x) + ", " + std::to_string(b.y) + ", " + std::to_string(b.z) + ")";
  if (block->current) where += ", thread " + std::to_string(block->current->number);
  throw Failure(what + " in " + where);
}

void thread_main(void* argument) {
  auto* thread = static_cast<Thread*>(argument);
  try {
    (*block->body)();
    for (const std::vector<Copy>& group : thread->groups) {
      if (!group.empty()) fail("ends with copies nobody waited for");
    }
    if (!thread->open.empty()) fail("ends with copies nobody committed");
  } catch (...) {
    if (!block->failure) block->failure = std::current_exception();
  }
  thread->state = State::done;
  thread->fiber.leave();
  std::terminate();
}

/// 0 to count - 1 in the order of the moment; `order` is kept by the caller to reuse its memory.
const std::vector<int>& turns(std::vector<int>& order, int count) {
  if (!order.empty() && block->options->order != Order::shuffled) return order;
  order.resize(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  if (block->options->order == Order::reversed) std::reverse(order.begin(), order.end());
  if (block->options->order == Order::shuffled) {
    for (int i = count - 1; i > 0; --i)
      std::swap(order[static_cast<std::size_t>(i)], order[block->random() % static_cast<std::uint64_t>(i + 1)]);
  }
  return order;
}

/// Every lane runs until it waits; then the operation all of them wait at, and so on, until the warp waits at the block's barrier or is done.
void run_warp(int first) {
  Thread* lanes[kWarp];
  for (int i = 0; i < kWarp; ++i) lanes[i] = block->threads[static_cast<std::size_t>(first + i)].get();
  for (;;) {
    for (const int i : turns(block->lane_order, kWarp)) {
      if (lanes[i]->state != State::ready) continue;
      block->current = lanes[i];
      lanes[i]->fiber.resume();
      block->current = nullptr;
      if (block->failure) std::rethrow_exception(block->failure);
    }
    const Thread* waiting = nullptr;
    for (const Thread* lane : lanes) {
      if (lane->state == State::at_operation) waiting = lane;
    }
    if (!waiting) return;
    int came = 0;
    for (const Thread* lane : lanes) {
      came += lane->state == State::at_operation && lane->operation == waiting->operation && lane->site.line() == waiting->site.line() &&
              lane->site.column() == waiting->site.column();
    }
    if (came != kWarp)
      fail("warp " + std::to_string(first / kWarp) + " diverges: " + waiting->what + " at " + place(waiting->site) + " reached by " +
           std::to_string(came) + " of 32 lanes");
    void* operands[kWarp];
    for (int i = 0; i < kWarp; ++i) {
      operands[i] = lanes[i]->operand;
      lanes[i]->state = State::ready;
    }
    if (waiting->operation) waiting->operation(block->counters, operands);
  }
}

void run_block() {
  const int count = static_cast<int>(block->threads.size());
  for (int i = 0; i < count; ++i) {
    Thread& t = *block->threads[static_cast<std::size_t>(i)];
    const auto n = static_cast<unsigned>(i);
    t.index = {n % block->size.x, n / block->size.x % block->size.y, n / (block->size.x * block->size.y)};
    t.number = i;
    t.state = State::ready;
    t.groups.clear();
    t.open.clear();
    t.fiber.start(thread_main, &t);
  }
  for (;;) {
    for (const int warp : turns(block->warp_order, count / kWarp)) run_warp(warp * kWarp);
    int done = 0, waiting = 0;
    const Thread* first = nullptr;
    for (const auto& t : block->threads) {
      done += t->state == State::done;
      waiting += t->state == State::at_barrier;
      if (t->state == State::at_barrier && !first) first = t.get();
    }
    if (done == count) return;
    if (waiting != count)
      fail("__syncthreads at " + place(first->site) + " reached by " + std::to_string(waiting) + " of " + std::to_string(count) +
           " threads");
    for (const auto& t : block->threads) {
      if (t->site.line() != first->site.line() || t->site.file_name() != first->site.file_name())
        fail("threads wait at two barriers, " + place(first->site) + " and " + place(t->site));
      t->state = State::ready;
    }
    ++block->counters.barriers;
  }
}

/// Lanes are served in passes of at most 128 bytes; within a pass two different words of one bank conflict.
void count_shared(const Instruction::Turn& turn, std::size_t bytes) {
  const int lanes_per_pass = bytes >= 16 ? 8 : bytes >= 8 ? 16 : 32;
  for (int first = 0; first < kWarp; first += lanes_per_pass) {
    std::vector<std::uintptr_t> words[32];
    bool any = false;
    for (int i = first; i < first + lanes_per_pass; ++i) {
      if (!(turn.lanes >> i & 1)) continue;
      any = true;
      for (std::uintptr_t word = turn.address[i] / 4; word <= (turn.address[i] + bytes - 1) / 4; ++word) {
        std::vector<std::uintptr_t>& bank = words[word % 32];
        if (std::find(bank.begin(), bank.end(), word) == bank.end()) bank.push_back(word);
      }
    }
    std::size_t most = 1;
    for (const auto& bank : words) most = std::max(most, bank.size());
    block->counters.shared_accesses += any;
    block->counters.bank_conflicts += static_cast<std::int64_t>(most) - 1;
  }
}

void count_global(const Instruction::Turn& turn, std::size_t bytes) {
  std::vector<std::uintptr_t> sectors;
  for (int i = 0; i < kWarp; ++i) {
    if (!(turn.lanes >> i & 1)) continue;
    block->counters.global_bytes += static_cast<std::int64_t>(bytes);
    for (std::uintptr_t s = turn.address[i] / 32; s <= (turn.address[i] + bytes - 1) / 32; ++s) sectors.push_back(s);
  }
  std::sort(sectors.begin(), sectors.end());
  block->counters.global_sectors += std::unique(sectors.begin(), sectors.end()) - sectors.begin();
}

void count_instructions() {
  for (const auto& [key, instruction] : block->instructions) {
    const auto kind = std::get<1>(key);
    const bool shared = kind == Access::shared_load || kind == Access::shared_store;
    for (const Instruction::Turn& turn : instruction.turns)
      shared ? count_shared(turn, std::get<2>(key)) : count_global(turn, std::get<2>(key));
  }
  block->instructions.clear();
}

/// Exactly the bytes asked for, so that an address sanitizer sees what lies beyond them.
struct SharedMemory {
  explicit SharedMemory(std::size_t size) : bytes(static_cast<std::byte*>(::operator new (size, std::align_val_t{128}))) {}
  ~SharedMemory() { ::operator delete (bytes, std::align_val_t{128}); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  std::byte* bytes;
};

const char* access_name(Access kind) {
  switch (kind) {
    case Access::global_load: return "global load";
    case Access::global_store: return "global store";
    case Access::shared_load: return "shared load";
    case Access::shared_store: return "shared store";
  }
  return "";
}

void check_bounds(Access kind, const void* address, std::size_t bytes, const Site& site) {
  const auto* begin = static_cast<const std::byte*>(address);
  if ((reinterpret_cast<std::uintptr_t>(address) & (bytes - 1)) != 0)  // accesses are powers of two
    fail(std::string(access_name(kind)) + " at " + place(site) + " is not aligned to " + std::to_string(bytes) + " bytes");
  if (kind == Access::shared_load || kind == Access::shared_store) {
    const std::less_equal<const std::byte*> le;
    if (le(block->shared, begin) && le(begin + bytes, block->shared + block->shared_bytes)) return;
    fail(std::string(access_name(kind)) + " at " + place(site) + " lies " + std::to_string(begin - block->shared) +
         " bytes into shared memory of " + std::to_string(block->shared_bytes));
  }
  if (block->options->buffers.empty()) return;
  for (const Buffer& buffer : block->options->buffers) {
    const auto at = reinterpret_cast<std::uintptr_t>(address), from = reinterpret_cast<std::uintptr_t>(buffer.begin);
    if (at < from || at + bytes > from + buffer.bytes) continue;
    if (kind == Access::global_store && !buffer.writable)
      fail(std::string("global store at ") + place(site) + " into '" + buffer.name + "', which is only read");
    return;
  }
  fail(std::string(access_name(kind)) + " at " + place(site) + " lies in no buffer");
}

}  // namespace

Counters& Counters::operator+=(const Counters& o) {
  blocks += o.blocks;
  barriers += o.barriers;
  mma += o.mma;
  ldmatrix += o.ldmatrix;
  global_sectors += o.global_sectors;
  global_bytes += o.global_bytes;
  shared_accesses += o.shared_accesses;
  bank_conflicts += o.bank_conflicts;
  return *this;
}

Counters launch(Dim3 grid, Dim3 size, std::size_t shared_bytes, const std::function<void()>& body, const Options& options) {
  const std::size_t count = std::size_t{size.x} * size.y * size.z;
  const auto fits = [](const char* what, std::size_t value, std::size_t most) {
    if (value == 0 || value > most)
      throw Failure(std::string("launch: ") + what + " " + std::to_string(value) + "; expected 1 to " + std::to_string(most));
  };
  fits("threads per block", count, 1024);
  fits("grid x", grid.x, 0x7fffffff);
  fits("grid y", grid.y, 65535);
  fits("grid z", grid.z, 65535);
  if (count % kWarp != 0) throw Failure("launch: " + std::to_string(count) + " threads per block; expected whole warps of 32");
  if (shared_bytes > kMaxSharedBytes)
    throw Failure("launch: " + std::to_string(shared_bytes) + " bytes of shared memory; expected at most " +
                  std::to_string(kMaxSharedBytes));

  Block state;
  Block* const outer = std::exchange(block, &state);
  struct Restore {
    Block* outer;
    ~Restore() { block = outer; }
  } const restore{outer};
  state.grid = grid;
  state.size = size;
  state.body = &body;
  state.options = &options;
  state.random.seed(options.seed);
  for (std::size_t i = 0; i < count; ++i) state.threads.push_back(std::make_unique<Thread>());

  const std::int64_t blocks = std::int64_t{grid.x} * grid.y * grid.z;
  for (std::int64_t turn = 0; turn < blocks; ++turn) {
    const std::int64_t b = options.order == Order::forward ? turn : blocks - 1 - turn;
    state.index = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                   static_cast<unsigned>(b / grid.x / grid.y)};
    const SharedMemory shared(shared_bytes);
    std::memset(shared.bytes, 0xff, shared_bytes);
    state.shared = shared.bytes;
    state.shared_bytes = shared_bytes;
    run_block();
    count_instructions();
    ++state.counters.blocks;
  }
  return state.counters;
}

const Dim3& thread_index() { return block->current->index; }
const Dim3& block_index() { return block->index; }
const Dim3& block_size() { return block->size; }
const Dim3& grid_size() { return block->grid; }
std::byte* shared_memory() { return block->shared; }

void barrier(const Site& site) {
  Thread& t = *block->current;
  t.state = State::at_barrier;
  t.site = site;
  t.fiber.leave();
}

void meet(const char* what, WarpOperation operation, void* operand, const Site& site) {
  Thread& t = *block->current;
  t.state = State::at_operation;
  t.what = what;
  t.operation = operation;
  t.operand = operand;
  t.site = site;
  t.fiber.leave();
}

void access(Access kind, const void* address, std::size_t bytes, const Site& site) {
  check_bounds(kind, address, bytes, site);
  if (!block->options->count) return;
  const int warp = block->current->number / kWarp, lane = block->current->number % kWarp;
  Instruction& instruction = block->instructions[{warp, kind, bytes, site.file_name(), site.line(), site.column()}];
  const auto turn = static_cast<std::size_t>(instruction.turns_of_lane[lane]++);
  if (turn >= instruction.turns.size()) instruction.turns.resize(turn + 1);
  instruction.turns[turn].address[lane] = reinterpret_cast<std::uintptr_t>(address);
  instruction.turns[turn].lanes |= 1u << lane;
}

void access_matrix_row(const void* address, const Site& site) { check_bounds(Access::shared_load, address, 16, site); }

void copy_async(void* to, const void* from, const Site& site) {
  access(Access::shared_store, to, 16, site);
  if (from) access(Access::global_load, from, 16, site);
  std::memset(to, 0xff, 16);
  block->current->open.push_back({to, from});
}

void commit_copies() {
  Thread& t = *block->current;
  t.groups.push_back(std::move(t.open));
  t.open.clear();
}

void wait_copies(int pending) {
  Thread& t = *block->current;
  while (static_cast<int>(t.groups.size()) > pending) {
    for (const Copy& copy : t.groups.front()) {
      if (copy.from) {
        std::memcpy(copy.to, copy.from, 16);
      } else {
        std::memset(copy.to, 0, 16);
      }
    }
    t.groups.pop_front();
  }
}

}  // namespace konv::simt
