// Launches of the CUDA backend, run by the interpreter.
#pragma once

#include <span>

#include "kernels/cuda/calls.h"
#include "tests/support/simt/interpreter.h"

namespace konv::simt {

/// Runs one launch. Throws Failure.
Counters run(const cuda::Launch& launch, const Options& options);

/// Launches so far in this process, by kernel of kernels.inc.
std::span<const std::int64_t> cases_of_kernels();

/// The product that cuBLASLt would compute, element by element in double.
void run(const cuda::MatrixProduct& product);

/// All of them in order.
Counters run(std::span<const cuda::Call> calls, const Options& options);

}  // namespace konv::simt
