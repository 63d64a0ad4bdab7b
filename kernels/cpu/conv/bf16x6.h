// Products of float32 by tile registers, which multiply bfloat16. A float32 is the exact sum of three numbers of bfloat16, high, middle and low, of 8 bits each
// of its 24. Of the nine products of two such sums the six down to 2^-24 of the whole are added in float32 (Henry, Tang and Heinecke, "Leveraging the
// bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", 2019; XLA calls it BF16_BF16_F32_X6). Errors are those of sums in float32; infinities become NaN, and what
// is smaller than 2^-126, parts included, counts as zero.
//   A [step][part][row][16 pairs of inputs]     B [strip][step][output block][part][16 pairs of inputs][output][2]
// Two blocks of 16 inputs are a step of three tiles of A, their parts, and six products. The last block of an odd number stands alone: a pair of A is two parts
// of the same input, (middle, high) in one tile and (low, high) in the other, and three products give the six.
// Only for units with tile registers (per_isa.h, ../amx.h).
#pragma once

#include "kernels/cpu/amx.h"
#include "kernels/cpu/conv/blocked_tile.h"

namespace konv::KONV_ISA {
namespace {

inline constexpr std::int64_t kPairTiles = 3, kSingleTiles = 2;  ///< of A per step
inline constexpr std::int64_t kStepWeights = 3;                  ///< tiles of B per step, of either kind

/// Steps over blocks of 16 inputs.
struct PartSteps {
  std::int64_t pairs, singles;

  explicit PartSteps(std::int64_t blocks) : pairs(blocks / 2), singles(blocks % 2) {}
  std::int64_t all() const { return pairs + singles; }
  std::int64_t a_tiles() const { return kPairTiles * pairs + kSingleTiles * singles; }
};

/// Bits of a Vector.
typedef std::uint32_t Bits __attribute__((vector_size(sizeof(Vector))));

/// The three parts of 16 numbers, each the upper halves of 32 bits; below a part lie bits of the next.
struct Parts {
  Bits high, middle, low;
};

inline __attribute__((always_inline)) Parts parts_of(Vector x) {
  const auto without_part = [](Vector v) { return v - reinterpret_cast<Vector>(reinterpret_cast<Bits>(v) & 0xFFFF0000u); };
  const Vector rest = without_part(x);
  return {reinterpret_cast<Bits>(x), reinterpret_cast<Bits>(rest), reinterpret_cast<Bits>(without_part(rest))};
}

/// Pairs of upper halves: `first`'s below, `second`'s above.
inline __attribute__((always_inline)) Bits paired(Bits first, Bits second) {
#if defined(__AVX512BW__)  // one instruction instead of a shift and a blend
  const __m512i upper_half_below = _mm512_set4_epi32(0x0F0E0F0E, 0x0B0A0B0A, 0x07060706, 0x03020302);
  return reinterpret_cast<Bits>(_mm512_mask_shuffle_epi8(reinterpret_cast<__m512i>(second), 0x3333333333333333ull,
                                                         reinterpret_cast<__m512i>(first), upper_half_below));
#else
  return (second & 0xFFFF0000u) | (first >> 16);
#endif
}

inline __attribute__((always_inline)) void store_bits(std::uint8_t* to, Bits bits) { std::memcpy(to, &bits, sizeof bits); }

/// A row of a step's tiles, `tile` bytes apart, from the inputs of two blocks.
inline __attribute__((always_inline)) void store_pair(const Parts& first, const Parts& second, std::uint8_t* a, std::int64_t tile) {
  store_bits(a, paired(first.high, second.high));
  store_bits(a + tile, paired(first.middle, second.middle));
  store_bits(a + 2 * tile, paired(first.low, second.low));
}

/// The same of one block.
inline __attribute__((always_inline)) void store_single(const Parts& x, std::uint8_t* a, std::int64_t tile) {
  store_bits(a, paired(x.middle, x.high));
  store_bits(a + tile, paired(x.low, x.high));
}

/// Tile registers are named by constants.
template <int Tile>
inline __attribute__((always_inline)) void load_tile(const void* from) {
  static_assert(Tile >= 4 && Tile < 8);
  if constexpr (Tile == 4) _tile_loadd(4, from, kRowBytes);
  if constexpr (Tile == 5) _tile_loadd(5, from, kRowBytes);
  if constexpr (Tile == 6) _tile_loadd(6, from, kRowBytes);
  if constexpr (Tile == 7) _tile_loadd(7, from, kRowBytes);
}

template <int Sum>
inline __attribute__((always_inline)) void clear_sum() {
  if constexpr (Sum == 0) _tile_zero(0);
  if constexpr (Sum == 1) _tile_zero(1);
  if constexpr (Sum == 2) _tile_zero(2);
  if constexpr (Sum == 3) _tile_zero(3);
}

template <int Sum>
inline __attribute__((always_inline)) void store_sum(float* to) {
  if constexpr (Sum == 0) _tile_stored(0, to, kRowBytes);
  if constexpr (Sum == 1) _tile_stored(1, to, kRowBytes);
  if constexpr (Sum == 2) _tile_stored(2, to, kRowBytes);
  if constexpr (Sum == 3) _tile_stored(3, to, kRowBytes);
}

/// Tile `Sum` += tile `A` times tile 7.
template <int Sum, int A>
inline __attribute__((always_inline)) void add_product() {
  static_assert(Sum < 4 && A >= 4 && A < 7);
#define KONV_PRODUCTS(a)                             \
  if constexpr (A == a) {                            \
    if constexpr (Sum == 0) _tile_dpbf16ps(0, a, 7); \
    if constexpr (Sum == 1) _tile_dpbf16ps(1, a, 7); \
    if constexpr (Sum == 2) _tile_dpbf16ps(2, a, 7); \
    if constexpr (Sum == 3) _tile_dpbf16ps(3, a, 7); \
  }
  KONV_PRODUCTS(4) KONV_PRODUCTS(5) KONV_PRODUCTS(6)
#undef KONV_PRODUCTS
}

template <int Sum>
inline __attribute__((always_inline)) void load_sum(const float* from) {
  if constexpr (Sum == 0) _tile_loadd(0, from, kRowBytes);
  if constexpr (Sum == 1) _tile_loadd(1, from, kRowBytes);
  if constexpr (Sum == 2) _tile_loadd(2, from, kRowBytes);
  if constexpr (Sum == 3) _tile_loadd(3, from, kRowBytes);
}

/// Calls f.operator()<i>() for 0 to Count - 1.
template <int Count, class F>
inline __attribute__((always_inline)) void each(const F& f) {
  f.template operator()<0>();
  if constexpr (Count > 1) f.template operator()<1>();
  if constexpr (Count > 2) f.template operator()<2>();
  if constexpr (Count > 3) f.template operator()<3>();
}

/// Some steps of one tile of rows and one strip.
struct PartProduct {
  PartSteps steps;
  const std::uint8_t* a;
  std::int64_t a_tile;  ///< bytes from tile to tile of A
  const std::uint8_t* b;
  float* sums;  ///< [output block][row][16]
  bool first;   ///< sums begin with 0, not with what is there
};

/// Tiles 0 to 3 are the sums of `Blocks` output blocks, 4 to 6 the parts of A, 7 one of B: the next is loaded while this one is multiplied, since registers are
/// renamed. Two tiles of rows by two blocks would load half as much of B: 1.00 to 1.05 times as fast in long sums, slower in short ones.
template <int Blocks>
void multiply_parts(PartProduct x) {
  const auto load_b = [&]<int Block>(int part) { load_tile<7>(x.b + (Block * kStepWeights + part) * kWeightTile); };
  memory_is_used();
  each<Blocks>([&]<int Block>() {
    if (x.first) {
      clear_sum<Block>();
    } else {
      load_sum<Block>(x.sums + Block * kRows * kTileOutputs);
    }
  });
  for (std::int64_t step = 0; step < x.steps.pairs; ++step, x.a += kPairTiles * x.a_tile, x.b += Blocks * kStepWeights * kWeightTile) {
    load_tile<4>(x.a);
    each<Blocks>([&]<int Block>() {
      load_b.template operator()<Block>(2);
      add_product<Block, 4>();
    });
    load_tile<5>(x.a + x.a_tile);
    each<Blocks>([&]<int Block>() {
      load_b.template operator()<Block>(1);
      add_product<Block, 4>();
      add_product<Block, 5>();
    });
    load_tile<6>(x.a + 2 * x.a_tile);
    each<Blocks>([&]<int Block>() {
      load_b.template operator()<Block>(0);
      add_product<Block, 4>();
      add_product<Block, 5>();
      add_product<Block, 6>();
    });
  }
  if (x.steps.singles) {
    load_tile<4>(x.a);
    load_tile<5>(x.a + x.a_tile);
    each<Blocks>([&]<int Block>() {
      load_b.template operator()<Block>(0);
      add_product<Block, 4>();
      load_b.template operator()<Block>(1);
      add_product<Block, 4>();
      load_b.template operator()<Block>(2);
      add_product<Block, 5>();
    });
  }
  each<Blocks>([&]<int Block>() { store_sum<Block>(x.sums + Block * kRows * kTileOutputs); });
  memory_is_used();
}

/// Tile registers that hold weights, for UsingTiles.
constexpr int kWeightRegisters = 1;

/// Part `part` of a number, 0 for the high one: a bfloat16's bits.
inline std::uint16_t part_of(float x, int part) {
  std::uint32_t bits;
  for (;; --part) {
    std::memcpy(&bits, &x, sizeof bits);
    const std::uint32_t upper = bits & 0xFFFF0000u;
    if (part == 0) return static_cast<std::uint16_t>(upper >> 16);
    float cut;
    std::memcpy(&cut, &upper, sizeof cut);
    x -= cut;
  }
}

/// Writes a weight to B of a strip of `blocks` output blocks, which was zero; `output` counts from the strip's first.
[[maybe_unused]] void pack_parts(const PartSteps& steps, std::int64_t blocks, std::int64_t input, std::int64_t output, float weight,
                                 std::uint8_t* b) {
  const std::int64_t block = input / kLanes, step = block / 2, row = input % kLanes;
  const auto put = [&](std::int64_t tile, std::int64_t half, int part) {
    const std::int64_t at = ((step * blocks + output / kTileOutputs) * kStepWeights + tile) * kWeightTile;
    const std::uint16_t bits = part_of(weight, part);
    std::memcpy(b + at + row * kRowBytes + output % kTileOutputs * 4 + half * 2, &bits, sizeof bits);
  };
  if (step < steps.pairs) {
    for (int part = 0; part < 3; ++part) put(part, block % 2, part);
  } else {
    for (int tile = 0; tile < 2; ++tile) put(tile, 0, tile), put(tile, 1, tile);  // of (middle, high): high, then middle
    put(2, 0, 0), put(2, 1, 2);                                                   // of (low, high)
  }
}

}  // namespace
}  // namespace konv::KONV_ISA
