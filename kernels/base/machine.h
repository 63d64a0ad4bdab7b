// The constants of a CPU that cost models read. Built in per instruction set or measured once, never per run.
#pragma once

#include <cstdint>

#include "kernels/base/isa.h"

namespace konv {

struct Machine {
  Isa isa = Isa::portable;
  double flops = 8e9;           ///< peak float32 multiply-add throughput of one core, FLOP/s (2 per multiply-add)
  double l1_bandwidth = 100e9;  ///< bytes/s of one core
  double l2_bandwidth = 50e9;
  double l3_bandwidth = 20e9;
  double dram_bandwidth = 10e9;
  double hidden = 0;  ///< share of what kernels lose beside multiply-adds that hides behind them, where those take a core longer
  std::int64_t l1_bytes = 32 << 10;
  std::int64_t l2_bytes = 1 << 20;
  std::int64_t l3_bytes = 16 << 20;
  std::int64_t network_weights = 0;  ///< bytes of all weights of the network that is planned, each of which passes by in every run

  /// Whether the last cache holds the network's weights from one run to the next. Where it does not, all of them come from DRAM in every run.
  bool weights_stay() const { return network_weights <= l3_bytes; }

  /// The same for dot products of bfloat16 in vectors, where there is an instruction: twice as much, as measured on Zen 4 and Zen 5; no more on a CPU that has
  /// tile registers too (measured: 1.75 times as slow as float32 there).
  double bfloat16_vector_flops() const { return isa == Isa::avx512_bf16 ? 2 * flops : flops; }
  /// The same for bfloat16 at best: tile registers do 16 x 16 x 32 products in 16 cycles, where vectors do 512 in float32.
  double bfloat16_flops() const { return isa >= Isa::avx512_amx ? 16 * flops : bfloat16_vector_flops(); }
  /// The same for float32 in three parts of bfloat16, six products for one (conv/bf16x6.h).
  double bf16x6_flops() const { return isa >= Isa::avx512_amx ? bfloat16_flops() / 6 : flops; }

  /// Typical constants of an instruction set, for planning for a machine that is not here.
  static Machine typical(Isa isa);
  /// The same with what is known of this CPU's cores, which is built in, so that a CPU is planned for in the same way every time.
  static Machine here(Isa isa);
};

}  // namespace konv
