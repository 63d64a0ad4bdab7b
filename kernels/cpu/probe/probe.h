// Measures the constants of this machine: peak of multiply-adds and the bandwidth of each level of memory, on one core.
#pragma once

#include <cstdint>

#include "kernels/base/machine.h"

namespace konv {

struct ProbeCode {
  double (*multiply_adds)(std::int64_t rounds, float* out);  ///< does them and returns how many FLOPs that were
  void (*read)(const float* data, std::int64_t count, std::int64_t times,
               float* out);  ///< sums `count` floats, but for a rest of less than eight vectors
};

struct IntegerProbeCode {
  double (*multiply_adds)(std::int64_t rounds,
                          std::int32_t* out);  ///< products of bytes, added up; returns how many operations that were, 2 each
};

/// Operations per second of one core, 2 per product of an unsigned and a signed byte that is added to a sum of 32 bits, as measured now in some 10 ms.
double measured_integer_rate(Isa isa);

/// Bytes of memory that measured() reads.
std::int64_t probe_bytes(const Machine& machine);

/// `machine` with flops and the four bandwidths as they are measured now, in some 0.1 s; its cache sizes say how much to read of `memory`, probe_bytes() that
/// have been written to and lie as weights would. What limits and shares of the peak are computed from; choices between kernels are not, so that they do not
/// change from run to run.
Machine measured(Machine machine, const void* memory);

}  // namespace konv
