// From what a kernel does to how long a GPU would take: a roofline with the things that keep small layers away from it. A prediction, not a measurement.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/cuda/gpu.h"

namespace konv::cuda {

/// What one launch does; tests compare these with what the interpreter counts.
struct Counts {
  double blocks = 0;
  double threads = 128;      ///< of a block
  double registers = 32;     ///< of a thread, as nvcc 13.0 reports for compute capability 9.0
  double shared_bytes = 0;   ///< of a block
  double multiply_adds = 0;  ///< executed, idle lanes and pad channels included
  double mma = 0;            ///< warp instructions; 0: multiply_adds run outside tensor cores
  double sectors = 0;        ///< of 32 bytes between multiprocessors and L2
  double dram_bytes = 0;     ///< each byte of inputs, weights and outputs once
  double conflicts = 0;      ///< further passes over shared memory
  double steps = 1;          ///< dependent rounds of global loads in one block
};

/// Blocks that fit on one multiprocessor.
inline double resident_blocks(const Counts& c, const Gpu& gpu) {
  const double by_threads = std::floor(2048 / c.threads), by_registers = std::floor(65536 / (c.threads * std::max(32.0, c.registers)));
  const double by_shared = c.shared_bytes > 0 ? std::floor(static_cast<double>(gpu.shared_bytes) / (c.shared_bytes + 1024)) : 32;
  return std::max(1.0, std::min({by_threads, by_registers, by_shared, 32.0}));
}

/// Share of the multiprocessors' time that whole waves of blocks fill.
inline double wave_share(const Counts& c, const Gpu& gpu) {
  const double slots = gpu.multiprocessors * resident_blocks(c, gpu);
  return c.blocks / (std::ceil(c.blocks / slots) * slots);
}

inline double predict_seconds(const Counts& c, const Gpu& gpu, Precision precision) {
  constexpr double kMathShare = 0.8, kLatency = 0.7e-6, kStep = 60e-9;  // of the peak; of a block's first loads; of each further round
  const double peak = c.mma > 0 ? gpu.flops(precision) : gpu.float32_flops;
  // A block alone on a multiprocessor keeps it half busy; more than fit wait for the next wave.
  const double busy = std::max(wave_share(c, gpu), std::min(1.0, c.blocks / (2.0 * gpu.multiprocessors)) * 0.5);
  const double math = 2 * c.multiply_adds / (peak * kMathShare * busy) + c.conflicts / (gpu.multiprocessors * busy * 1.5e9);
  const double memory = std::max(c.dram_bytes / gpu.dram_bandwidth, 32 * c.sectors / gpu.l2_bandwidth);
  const double waves = std::ceil(c.blocks / (gpu.multiprocessors * resident_blocks(c, gpu)));
  return gpu.launch_seconds + std::max({math, memory, waves * (kLatency + c.steps * kStep)});
}

/// The roofline: useful multiply-adds at the precision's peak, bytes at DRAM's.
inline double roofline_seconds(double multiply_adds, double dram_bytes, const Gpu& gpu, Precision precision) {
  return std::max(2 * multiply_adds / gpu.flops(precision), dram_bytes / gpu.dram_bandwidth);
}

}  // namespace konv::cuda
