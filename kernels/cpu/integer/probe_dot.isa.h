// What one core can do at best with products of bytes: sums that depend on nothing else (dot.h).
#include "kernels/cpu/integer/dot.h"
#include "kernels/cpu/probe/probe.h"

namespace konv {

extern const IntegerProbeCode KONV_ISA_CODE(probe_dot);

namespace KONV_ISA {
namespace {

/// Enough to cover the latency of two pipes; wider instruction sets need registers for widened products as well.
constexpr int kSums = kRegisters == 32 ? 16 : 8;

/// Keeps the compiler from working out what the loop adds up to.
template <class T>
inline __attribute__((always_inline)) void opaque(T& v) {
#if defined(__x86_64__)
  asm volatile("" : "+x"(v));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(v));
#endif
}

double multiply_adds(std::int64_t rounds, std::int32_t* out) {
  alignas(64) std::uint8_t bytes[kQuadWeightBytes] = {};
  const WeightQuad w = load_weights(bytes);
  const Quad x = broadcast_quad(bytes);
  Ints sums[kSums] = {};
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      sums[i] = dot(sums[i], x, w);
      opaque(sums[i]);
    }
  }
  Ints total{};
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) total += sums[i];
  std::memcpy(out, &total, sizeof total);
  return 8.0 * kLanes * kSums * static_cast<double>(rounds);
}

}  // namespace
}  // namespace KONV_ISA

const IntegerProbeCode KONV_ISA_CODE(probe_dot) = {KONV_ISA::multiply_adds};

}  // namespace konv
