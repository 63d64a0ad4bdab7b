// What all kernel lists have in common.
//
// A family (conv, gemm, pool ...) has a Shape (sizes and attributes: what choosing may look at), Args (Shape plus pointers: what running needs) and
// one list, FAMILY_kernels.inc, that declarations, chooser, tests and benchmarks read. A line of a list names a kernel, its instruction set, why it
// would refuse a shape and what it would cost; these three are plain code that runs anywhere. The Code behind it is compiled for the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/base/divide.h"
#include "kernels/base/isa.h"
#include "kernels/base/machine.h"

namespace konv {

/// Work is cut into chunks that depend on the shape only, so results do not depend on the number of threads.
template <class Shape, class Args>
struct Code {
  std::int64_t (*chunks)(const Shape&);
  std::size_t (*workspace)(const Shape&);  ///< bytes per thread, 64-byte aligned when handed in
  /// Computes one chunk. Any thread, any order. Allocates nothing, throws nothing.
  void (*run)(const Args&, std::int64_t chunk, void* workspace);
};

template <class Shape, class CodeType>
struct Kernel {
  const char* name;
  Isa isa;
  const char* (*refuse)(const Shape&);           ///< why the kernel does not apply; null when it does
  double (*cost)(const Shape&, const Machine&);  ///< predicted seconds on one core
  const CodeType* code;
};

}  // namespace konv
