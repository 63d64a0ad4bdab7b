#include "kernels/cpu/probe/probe.h"

#include <algorithm>
#include <chrono>

namespace konv {

extern const ProbeCode probe_portable_code, probe_avx2_code, probe_avx512_code;
extern const IntegerProbeCode probe_dot_portable_code, probe_dot_avx2_code, probe_dot_avx512_code, probe_dot_avx512_vnni_code,
    probe_tiles_avx512_amx_code;

namespace {

const IntegerProbeCode& integer_code_for(Isa isa) {
  if (isa >= Isa::avx512_amx) return probe_tiles_avx512_amx_code;
  if (isa >= Isa::avx512_vnni) return probe_dot_avx512_vnni_code;
  if (isa >= Isa::avx512) return probe_dot_avx512_code;
  return isa >= Isa::avx2 ? probe_dot_avx2_code : probe_dot_portable_code;
}

const ProbeCode& code_for(Isa isa) {
  return isa >= Isa::avx512 ? probe_avx512_code : isa == Isa::avx2 ? probe_avx2_code : probe_portable_code;
}

/// The best of some runs: interruptions only ever take time.
template <class F>
double least_seconds(const F& f) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < 3 || (i < 1000 && Clock::now() - start < std::chrono::milliseconds(10)); ++i) {
    const Clock::time_point begin = Clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return std::max(best, 1e-9);
}

}  // namespace

double measured_integer_rate(Isa isa) {
  const IntegerProbeCode& code = integer_code_for(isa);
  alignas(64) std::int32_t out[16];
  double operations = 0;
  const double seconds = least_seconds([&] { operations = code.multiply_adds(2'000, out); });
  return operations / seconds;
}

std::int64_t probe_bytes(const Machine& machine) { return 4 * std::min<std::int64_t>(machine.l3_bytes, 16 << 20); }

Machine measured(Machine machine, const void* memory) {
  const ProbeCode& code = code_for(machine.isa);
  alignas(64) float out[16];
  double flops = 0;
  const double seconds = least_seconds([&] { flops = code.multiply_adds(10'000, out); });
  machine.flops = flops / seconds;

  const std::int64_t most = probe_bytes(machine);
  const auto* data = static_cast<const float*>(memory);
  const auto bandwidth = [&](std::int64_t bytes) {
    const std::int64_t count = std::min(bytes, most) / static_cast<std::int64_t>(sizeof(float));
    const std::int64_t again = std::max<std::int64_t>(1, (64 << 10) / count);  // long against the clock's resolution
    return 4.0 * static_cast<double>(count * again) / least_seconds([&] { code.read(data, count, again, out); });
  };
  machine.l1_bandwidth = bandwidth(machine.l1_bytes / 2);
  machine.l2_bandwidth = bandwidth(machine.l2_bytes / 2);
  machine.l3_bandwidth = bandwidth(std::min(machine.l2_bytes * 4, machine.l3_bytes / 2));
  machine.dram_bandwidth = bandwidth(most);
  return machine;
}

}  // namespace konv
