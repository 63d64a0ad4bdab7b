// Runs CUDA kernels without a GPU: a block's threads are fibers on the calling thread, barriers and warp-wide operations are meeting points.
//
// It proves indexing, edges, barriers, swizzles and fragment layouts, and counts what a GPU would do; it proves no speed. What it looks for:
//   divergence      a barrier or a warp-wide operation that not all threads reach, or reach at different places
//   missing wait    bytes of cp.async are poison until the thread that issued them waits; shared memory is poison when a block begins
//   missing barrier a warp runs ahead of the others until the next barrier; Order turns that round, so results differ
//   out of bounds   every access through kernels/cuda/device.h must lie in shared memory or in one of Options::buffers
// Poison is 0xff bytes: NaN as float32 and as float16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

namespace konv::simt {

/// A kernel did what no kernel may do; the message tells what, where and which thread.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

/// In which order blocks, warps and lanes get their turn.
enum class Order : std::uint8_t { forward, reversed, shuffled };

/// Global memory that a kernel may touch.
struct Buffer {
  const void* begin = nullptr;
  std::size_t bytes = 0;
  bool writable = false;
  const char* name = "";
};

struct Options {
  Order order = Order::forward;
  std::uint64_t seed = 1;       ///< of the shuffles
  bool count = false;           ///< sectors and bank conflicts too, which takes time
  std::vector<Buffer> buffers;  ///< empty: global accesses are not checked
};

struct Counters {
  std::int64_t blocks = 0;
  std::int64_t barriers = 0;         ///< per block
  std::int64_t mma = 0;              ///< instructions per warp
  std::int64_t ldmatrix = 0;         ///< 8x8 matrices
  std::int64_t global_sectors = 0;   ///< 32-byte pieces, per warp and instruction (with Options::count)
  std::int64_t global_bytes = 0;     ///< that threads asked for (with count)
  std::int64_t shared_accesses = 0;  ///< passes over the banks at best (with count)
  std::int64_t bank_conflicts = 0;   ///< further passes (with count; ldmatrix always)

  Counters& operator+=(const Counters& other);
};

inline constexpr int kWarp = 32;
inline constexpr std::size_t kMaxSharedBytes = 227 << 10;  ///< of compute capability 9.0

/// Runs `body` as every thread of every block; inside it, the functions below tell who runs. Throws Failure, and whatever body throws.
Counters launch(Dim3 grid, Dim3 block, std::size_t shared_bytes, const std::function<void()>& body, const Options& options = {});

// For device code.

using Site = std::source_location;

const Dim3& thread_index();
const Dim3& block_index();
const Dim3& block_size();
const Dim3& grid_size();
std::byte* shared_memory();

void barrier(const Site& site);

/// All lanes of a warp meet; then `operation` sees their operands (lane 0 first) and everybody goes on.
using WarpOperation = void (*)(Counters& counters, void* const* operands);
void meet(const char* what, WarpOperation operation, void* operand, const Site& site);

enum class Access : std::uint8_t { global_load, global_store, shared_load, shared_store };
/// Checks and counts one thread's access.
void access(Access kind, const void* address, std::size_t bytes, const Site& site);
/// Checks a row of 16 bytes that ldmatrix reads; the matrices count themselves.
void access_matrix_row(const void* address, const Site& site);

/// cp.async of 16 bytes: `to` is poison until the thread waits. Zeros where `from` is null.
void copy_async(void* to, const void* from, const Site& site);
void commit_copies();
void wait_copies(int pending);

}  // namespace konv::simt
