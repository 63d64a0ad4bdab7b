#include "kernels/cpu/pool/pool.h"

#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_pool_blocks(const PoolShape& s) { return s.block > 1 ? "blocked" : nullptr; }

template <Isa isa>
const char* refuse_pool_plain(const PoolShape& s) {
  return s.block == lanes(isa) ? nullptr : "blocks are not as wide as a vector";
}

double taps(const PoolShape& s) { return static_cast<double>(s.batch * s.channels * s.out_h * s.out_w * s.kernel_h * s.kernel_w); }

double cost_pool_rows(const PoolShape& s, const Machine& m) {
  const double bytes = 4.0 * static_cast<double>(s.batch * s.channels * (2 * s.in_h * s.in_w + s.out_h * s.out_w));
  const double filled = static_cast<double>(s.out_w) / static_cast<double>(round_up(s.out_w, lanes(m.isa)));
  return taps(s) / (m.flops * 0.2 * filled) + stream_seconds(bytes, m) + kCallSeconds;
}

double cost_pool_blocked(const PoolShape& s, const Machine& m) {
  const double channels = static_cast<double>(round_up(s.channels, s.block));
  const double bytes = 4.0 * static_cast<double>(s.batch) * channels * static_cast<double>(s.in_h * s.in_w + s.out_h * s.out_w);
  return taps(s) * channels / static_cast<double>(s.channels) / (m.flops * 0.2) + stream_seconds(bytes, m) + kCallSeconds;
}

double cost_pool_last_resort(const PoolShape& s, const Machine&) { return kNaiveSeconds * taps(s) + kCallSeconds; }

}  // namespace

#define KONV_POOL(name, isa, refuse, cost) extern const PoolCode name##_code;
#include "kernels/cpu/pool/pool_kernels.inc"
#undef KONV_POOL

std::span<const PoolKernel> pool_kernels() {
  static const PoolKernel kernels[] = {
#define KONV_POOL(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/pool/pool_kernels.inc"
#undef KONV_POOL
  };
  return kernels;
}

}  // namespace konv
