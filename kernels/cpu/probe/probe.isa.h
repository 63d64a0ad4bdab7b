// What one core can do at best: multiply-adds that depend on nothing else, and sums over memory.
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/probe/probe.h"

namespace konv {

extern const ProbeCode KONV_ISA_CODE(probe);

namespace KONV_ISA {
namespace {

constexpr int kSums = kRegisters - 6;

/// Keeps the compiler from working out what the loop adds up to.
inline __attribute__((always_inline)) void opaque(Vector& v) {
#if defined(__x86_64__)
  asm volatile("" : "+x"(v));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(v));
#endif
}

template <int N>
inline __attribute__((always_inline)) void keep(const Vector (&sums)[N], float* out) {
  Vector total{};
  for (int i = 0; i < N; ++i) total += sums[i];
  store(out, total);
}

double multiply_adds(std::int64_t rounds, float* out) {
  Vector sums[kSums] = {}, a = broadcast(0.5f), b = broadcast(0.25f);
  opaque(a);
  opaque(b);
  for (int i = 0; i < kSums; ++i) opaque(sums[i]);  // else they were all one chain
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 32
    for (int i = 0; i < kSums; ++i) sums[i] = a * sums[i] + b;
  }
  keep(sums, out);
  return 2.0 * kLanes * kSums * static_cast<double>(rounds);
}

void read(const float* data, std::int64_t count, std::int64_t times, float* out) {
  constexpr int kStreams = 8;
  Vector sums[kStreams] = {};
  for (std::int64_t t = 0; t < times; ++t) {
    for (std::int64_t i = 0; i + kStreams * kLanes <= count; i += kStreams * kLanes) {
#pragma GCC unroll 8
      for (int k = 0; k < kStreams; ++k) sums[k] += load(data + i + k * kLanes);
    }
    opaque(sums[0]);
  }
  keep(sums, out);
}

}  // namespace
}  // namespace KONV_ISA

const ProbeCode KONV_ISA_CODE(probe) = {KONV_ISA::multiply_adds, KONV_ISA::read};

}  // namespace konv
