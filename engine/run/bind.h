// Steps bound to memory: kernel plus arguments whose pointers are settled. Made once per context, so that running only calls.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/run/executable.h"

namespace konv::run {

class Call {
 public:
  virtual ~Call() = default;
  virtual void run(std::int64_t chunk, void* workspace) const = 0;
};

struct BoundCall {
  std::size_t step = 0;
  std::int64_t chunks = 0;
  std::unique_ptr<Call> call;
};

/// A value as kernels see it, in an arena that begins at `arena`.
TensorView view(const Executable& executable, int value, std::byte* arena);

/// Makes a new arena ready for its first run.
void prepare(const Executable& executable, std::byte* arena);

/// All calls of the executable in order. A step is one call, or two when a fill has to be complete before copies land in it.
std::vector<BoundCall> bind(const Executable& executable, std::byte* arena, int threads);

}  // namespace konv::run
