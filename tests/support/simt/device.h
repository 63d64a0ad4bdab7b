// The device functions of kernels/cuda/device.h for a host compiler: operands go to the interpreter. Fragment layouts are written down a second time here, from
// the PTX manual (ISA 8.0, "Matrix fragments for mma.m16n8k16 and m16n8k8", "ldmatrix"), so that a kernel that is wrong about them gives wrong results.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "tests/support/simt/interpreter.h"

#define KONV_DEVICE                        inline
#define KONV_GLOBAL(name, Params, threads) void name(const Params& p)
#define KONV_SHARED(name)                  unsigned char* const name = reinterpret_cast<unsigned char*>(::konv::simt::shared_memory())

#define threadIdx (::konv::simt::thread_index())
#define blockIdx  (::konv::simt::block_index())
#define blockDim  (::konv::simt::block_size())
#define gridDim   (::konv::simt::grid_size())

namespace konv::cuda {

using simt::Site;

inline void sync_threads(Site site = Site::current()) { simt::barrier(site); }

template <class T>
T load(const T* p, Site site = Site::current()) {
  simt::access(simt::Access::global_load, p, sizeof(T), site);
  return *p;
}
template <class T>
void store(T* p, T value, Site site = Site::current()) {
  simt::access(simt::Access::global_store, p, sizeof(T), site);
  *p = value;
}
template <class T>
T load_shared(const void* p, Site site = Site::current()) {
  simt::access(simt::Access::shared_load, p, sizeof(T), site);
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}
template <class T>
void store_shared(void* p, T value, Site site = Site::current()) {
  simt::access(simt::Access::shared_store, p, sizeof(T), site);
  std::memcpy(p, &value, sizeof(T));
}

float half_to_float(std::uint16_t bits);
std::uint16_t float_to_half(float x);

inline float to_float(Half h) { return half_to_float(h.bits); }
inline float to_float(float x) { return x; }
template <class T>
T from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
template <>
inline Half from_float<Half>(float x) {
  return {float_to_half(x)};
}

inline float as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t as_bits(float x) { return std::bit_cast<std::uint32_t>(x); }

float shuffle_xor(float x, int lanes, Site site = Site::current());

inline void copy_async(void* to, const void* from, bool valid, Site site = Site::current()) {
  simt::copy_async(to, valid ? from : nullptr, site);
}
inline void commit_copies() { simt::commit_copies(); }
template <int pending>
void wait_copies() {
  simt::wait_copies(pending);
}

void load_matrices(std::uint32_t (&r)[4], const void* row, Site site = Site::current());
void mma_f16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Site site = Site::current());
void mma_tf32(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Site site = Site::current());

/// Nearest, ties away from zero: half a unit of the last kept place is added to the magnitude.
inline std::uint32_t round_tf32(std::uint32_t bits) { return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu; }

}  // namespace konv::cuda
