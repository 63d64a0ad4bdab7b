// For sources that are compiled once per instruction set (NAME.isa.h; kernels/CMakeLists.txt makes one unit of each and defines KONV_ISA).
//
// Such a unit exports its Code objects and nothing else: a function with external linkage, or an inline function or template that was not
// inlined, would be a symbol that the linker may pick for everybody, and other machines would then execute its instructions. Hence: unnamed
// namespaces, static helpers, no standard containers or algorithms. The test 'kernels: isa symbols' looks into the objects.
#pragma once

#include <cstring>

#ifndef KONV_ISA
#define KONV_ISA portable
#endif

#define KONV_ISA_JOIN_(name, isa) name##_##isa##_code
#define KONV_ISA_JOIN(name, isa)  KONV_ISA_JOIN_(name, isa)

/// KONV_ISA_CODE(conv_direct_f32) is conv_direct_f32_avx2_code in the AVX2 unit.
#define KONV_ISA_CODE(name) KONV_ISA_JOIN(name, KONV_ISA)

namespace konv::KONV_ISA {
namespace {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
inline constexpr int kRegisters = 32;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
inline constexpr int kRegisters = 16;
#elif defined(__aarch64__)
inline constexpr int kLanes = 4;
inline constexpr int kRegisters = 32;
#else
inline constexpr int kLanes = 4;
inline constexpr int kRegisters = 16;
#endif

/// One vector register of floats; + * and comparisons work per lane, a float operand is broadcast.
typedef float Vector __attribute__((vector_size(sizeof(float) * kLanes)));

[[maybe_unused]] inline __attribute__((always_inline)) Vector load(const float* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

[[maybe_unused]] inline __attribute__((always_inline)) void store(float* p, Vector v) { std::memcpy(p, &v, sizeof v); }

[[maybe_unused]] inline __attribute__((always_inline)) Vector broadcast(float x) { return Vector{} + x; }

/// Whether the multiply-adds of a tile's pixel p read it from memory instead of from a register, where an instruction can do both: an instruction less for
/// some loads more. A third of the pixels is best: an eighth faster where another thread takes half of the core's issue slots, and elsewhere no slower.
constexpr bool reads_memory(int p, int blocks) { return kLanes == 16 && blocks > 1 && p % 3 == 1; }

/// sums[b][p] += x * w[b].
template <int Pixels, int Blocks>
inline __attribute__((always_inline)) void multiply_add(const float& x, const Vector (&w)[Blocks], int p, Vector (&sums)[Blocks][Pixels]) {
#pragma GCC unroll 4
  for (int b = 0; b < Blocks; ++b) {
#if defined(__AVX512F__)
    if (reads_memory(p, Blocks)) {
      Vector sum = sums[b][p];  // or arrays of sums would stay in memory
      asm("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w[b]), "m"(x));
      sums[b][p] = sum;
      continue;
    }
#endif
    sums[b][p] += x * w[b];
  }
}

}  // namespace
}  // namespace konv::KONV_ISA
