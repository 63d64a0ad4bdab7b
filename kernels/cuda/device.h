// What kernels say to the GPU: the only place with PTX. Everything else in a kernel is plain C++.
//
// The same names exist twice: here for nvcc, and in the header KONV_SIMT_DEVICE for a host compiler, which then runs the kernels in tests. Global and shared
// memory is accessed through load, store, load_shared and store_shared, so that the host side can check and count.
#pragma once

#include <cstdint>

namespace konv::cuda {

/// IEEE binary16, as bits.
struct Half {
  std::uint16_t bits;
};

/// What one thread moves at a time: 4 floats or 8 halves.
struct alignas(16) Chunk {
  std::uint32_t words[4];
};

/// Two numbers of a fragment.
struct alignas(8) Pair {
  std::uint32_t words[2];
};

}  // namespace konv::cuda

#if defined(__CUDACC__)

#include <cuda_fp16.h>

#define KONV_DEVICE __device__ __forceinline__
/// A kernel with one parameter, passed by value, and the threads of its blocks.
#define KONV_GLOBAL(name, Params, threads) __global__ void __launch_bounds__(threads) name(const __grid_constant__ Params p)
/// The block's dynamic shared memory.
#define KONV_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

namespace konv::cuda {

KONV_DEVICE void sync_threads() { __syncthreads(); }

template <class T>
KONV_DEVICE T load(const T* p) {
  return *p;
}
template <class T>
KONV_DEVICE void store(T* p, T value) {
  *p = value;
}
template <class T>
KONV_DEVICE T load_shared(const void* p) {
  return *static_cast<const T*>(p);
}
template <class T>
KONV_DEVICE void store_shared(void* p, T value) {
  *static_cast<T*>(p) = value;
}

KONV_DEVICE float to_float(Half h) { return __half2float(__ushort_as_half(h.bits)); }
KONV_DEVICE float to_float(float x) { return x; }
template <class T>
KONV_DEVICE T from_float(float x);
template <>
KONV_DEVICE float from_float<float>(float x) {
  return x;
}
template <>
KONV_DEVICE Half from_float<Half>(float x) {
  return {__half_as_ushort(__float2half_rn(x))};
}

KONV_DEVICE float as_float(std::uint32_t bits) { return __uint_as_float(bits); }
KONV_DEVICE std::uint32_t as_bits(float x) { return __float_as_uint(x); }

KONV_DEVICE float shuffle_xor(float x, int lanes) { return __shfl_xor_sync(0xffffffffu, x, lanes); }

KONV_DEVICE unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }

/// 16 bytes from global to shared memory, on its own time; zeros when not valid (`from` is not read then).
KONV_DEVICE void copy_async(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
/// Copies since the last commit form a group.
KONV_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Until at most so many of this thread's groups are on their way.
template <int pending>
KONV_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

/// Four matrices of 8 rows of 16 bytes. Lane 8 m + i names row i of matrix m; lane l gets bytes 4 (l % 4) to 4 (l % 4) + 3 of row l / 4 of each.
KONV_DEVICE void load_matrices(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

/// c += a b, float16 to float32: a 16 x 16, b 16 x 8. With g = lane / 4, t = lane % 4: a = {row g, columns 2t 2t+1}, {row g+8, the same}, {row g, columns
/// 2t+8 2t+9}, {row g+8, the same}; b = {rows 2t 2t+1, column g}, {rows 2t+8 2t+9, column g}; c = {row g, columns 2t 2t+1}, {row g+8, the same}.
KONV_DEVICE void mma_f16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// c += a b, tf32 to float32: a 16 x 8, b 8 x 8. a = {row g, column t}, {row g+8, column t}, {row g, column t+4}, {row g+8, column t+4}; b = {row t, column g},
/// {row t+4, column g}; c as above.
KONV_DEVICE void mma_tf32(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// The bits of a float32 rounded to the 10 mantissa bits of tf32, ties away from zero.
KONV_DEVICE std::uint32_t round_tf32(std::uint32_t bits) {
  std::uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

}  // namespace konv::cuda

#else
#include KONV_SIMT_DEVICE
#endif

namespace konv::cuda {

/// Elements of T in a chunk.
template <class T>
inline constexpr int kLanes = 16 / static_cast<int>(sizeof(T));

KONV_DEVICE void unpack(const Chunk& chunk, float (&x)[4], float) {
  for (int i = 0; i < 4; ++i) x[i] = as_float(chunk.words[i]);
}
KONV_DEVICE void unpack(const Chunk& chunk, float (&x)[8], Half) {
  for (int i = 0; i < 8; ++i) x[i] = to_float(Half{static_cast<std::uint16_t>(chunk.words[i / 2] >> (16 * (i % 2)))});
}
KONV_DEVICE Chunk pack(const float (&x)[4], float) { return {{as_bits(x[0]), as_bits(x[1]), as_bits(x[2]), as_bits(x[3])}}; }
KONV_DEVICE std::uint32_t pack_halves(float low, float high) {
  return static_cast<std::uint32_t>(from_float<Half>(low).bits) | static_cast<std::uint32_t>(from_float<Half>(high).bits) << 16;
}
KONV_DEVICE Chunk pack(const float (&x)[8], Half) {
  return {{pack_halves(x[0], x[1]), pack_halves(x[2], x[3]), pack_halves(x[4], x[5]), pack_halves(x[6], x[7])}};
}

/// A chunk at element `p`, widened.
template <class T>
KONV_DEVICE void load_chunk(const T* p, float (&x)[kLanes<T>]) {
  unpack(load(reinterpret_cast<const Chunk*>(p)), x, T{});
}
template <class T>
KONV_DEVICE void store_chunk(T* p, const float (&x)[kLanes<T>]) {
  store(reinterpret_cast<Chunk*>(p), pack(x, T{}));
}

}  // namespace konv::cuda
