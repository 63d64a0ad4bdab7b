// Conversion of types, a block at a time through the widest type of its kind: integers as int64, floats as double. Floats are cut towards zero and
// saturate at the range of the integer (NaN gives 0); integers that do not fit into fewer bits wrap; everything but zero is true.
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/eltwise/half.h"
#include "kernels/cpu/quant/packed.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

constexpr std::int64_t kBlock = 256;

/// Exactly one of the arrays holds the values; unsigned 64-bit values lie in `integers` by their bits.
struct Block {
  bool floating = false;
  double floats[kBlock];
  std::int64_t integers[kBlock];
};

template <class T>
void load_as(const void* from, std::int64_t begin, std::int64_t n, Block& block) {
  const T* p = static_cast<const T*>(from) + begin;
  block.floating = std::numeric_limits<T>::is_iec559;
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (std::numeric_limits<T>::is_iec559) {
      block.floats[i] = p[i];
    } else {
      block.integers[i] = static_cast<std::int64_t>(p[i]);
    }
  }
}

void load_small(const void* from, std::int64_t begin, std::int64_t n, SmallFloat format, Block& block) {
  const auto* p = static_cast<const std::uint16_t*>(from) + begin;
  block.floating = true;
  for (std::int64_t i = 0; i < n; ++i) block.floats[i] = decode(format, p[i]);
}

void load_block(DType type, const void* from, std::int64_t begin, std::int64_t n, Block& block) {
  switch (type) {
    case DType::float32: return load_as<float>(from, begin, n, block);
    case DType::float64: return load_as<double>(from, begin, n, block);
    case DType::float16: return load_small(from, begin, n, kFloat16, block);
    case DType::bfloat16: return load_small(from, begin, n, kBfloat16, block);
    case DType::int64: return load_as<std::int64_t>(from, begin, n, block);
    case DType::int32: return load_as<std::int32_t>(from, begin, n, block);
    case DType::int16: return load_as<std::int16_t>(from, begin, n, block);
    case DType::int8: return load_as<std::int8_t>(from, begin, n, block);
    case DType::uint64: return load_as<std::uint64_t>(from, begin, n, block);
    case DType::uint32: return load_as<std::uint32_t>(from, begin, n, block);
    case DType::uint16: return load_as<std::uint16_t>(from, begin, n, block);
    case DType::uint8:
    case DType::boolean: return load_as<std::uint8_t>(from, begin, n, block);
    case DType::int4:
    case DType::int2:
    case DType::uint4:
    case DType::uint2:
      block.floating = false;
      for (std::int64_t i = 0; i < n; ++i) block.integers[i] = static_cast<std::int64_t>(element_at(type, from, begin + i));
      return;
  }
}

template <class T>
T saturate(double x) {
  // The largest 64-bit integers are no doubles; the power of two above them is.
  constexpr auto low = static_cast<double>(std::numeric_limits<T>::min()), high = static_cast<double>(std::numeric_limits<T>::max());
  if (std::isnan(x)) return 0;
  if (x <= low) return std::numeric_limits<T>::min();
  return x >= high ? std::numeric_limits<T>::max() : static_cast<T>(x);
}

template <class T>
void store_integers(const Block& block, void* to, std::int64_t begin, std::int64_t n) {
  T* p = static_cast<T*>(to) + begin;
  for (std::int64_t i = 0; i < n; ++i) p[i] = block.floating ? saturate<T>(block.floats[i]) : static_cast<T>(block.integers[i]);
}

/// The value as a double; `wide`: the integers are unsigned.
double value_of(const Block& block, std::int64_t i, bool wide) {
  if (block.floating) return block.floats[i];
  return wide ? static_cast<double>(static_cast<std::uint64_t>(block.integers[i])) : static_cast<double>(block.integers[i]);
}

/// 64-bit integers go to float32 directly: by way of double they would be rounded twice.
float float_of(const Block& block, std::int64_t i, bool wide) {
  if (block.floating) return static_cast<float>(block.floats[i]);
  return wide ? static_cast<float>(static_cast<std::uint64_t>(block.integers[i])) : static_cast<float>(block.integers[i]);
}

/// Floats are cut towards zero, and of integers the lowest bits stay: types of 4 and 2 bits wrap around.
double packed_of(const Block& block, std::int64_t i) {
  const std::int64_t x = block.floating ? saturate<std::int64_t>(block.floats[i]) : block.integers[i];
  return static_cast<double>(x & 15);
}

void store_block(const Block& block, DType from, DType type, void* to, std::int64_t begin, std::int64_t n) {
  const bool wide = from == DType::uint64;
  switch (type) {
    case DType::float32:
      for (std::int64_t i = 0; i < n; ++i) static_cast<float*>(to)[begin + i] = float_of(block, i, wide);
      return;
    case DType::float64:
      for (std::int64_t i = 0; i < n; ++i) static_cast<double*>(to)[begin + i] = value_of(block, i, wide);
      return;
    case DType::float16:
    case DType::bfloat16:
      for (std::int64_t i = 0; i < n; ++i) {
        static_cast<std::uint16_t*>(to)[begin + i] = encode(type == DType::float16 ? kFloat16 : kBfloat16, value_of(block, i, wide));
      }
      return;
    case DType::boolean:
      for (std::int64_t i = 0; i < n; ++i)
        static_cast<std::uint8_t*>(to)[begin + i] = block.floating ? block.floats[i] != 0 : block.integers[i] != 0;
      return;
    case DType::int64: return store_integers<std::int64_t>(block, to, begin, n);
    case DType::int32: return store_integers<std::int32_t>(block, to, begin, n);
    case DType::int16: return store_integers<std::int16_t>(block, to, begin, n);
    case DType::int8: return store_integers<std::int8_t>(block, to, begin, n);
    case DType::uint64: return store_integers<std::uint64_t>(block, to, begin, n);
    case DType::uint32: return store_integers<std::uint32_t>(block, to, begin, n);
    case DType::uint16: return store_integers<std::uint16_t>(block, to, begin, n);
    case DType::uint8: return store_integers<std::uint8_t>(block, to, begin, n);
    case DType::int4:
    case DType::int2:
    case DType::uint4:
    case DType::uint2:
      for (std::int64_t i = 0; i < n; ++i) put_element(type, to, begin + i, packed_of(block, i));
      return;
  }
}

std::int64_t chunks(const CastShape& s) { return flat_chunks(s.count); }
std::size_t workspace(const CastShape&) { return 0; }

void run(const CastArgs& args, std::int64_t chunk, void*) {
  const CastShape& s = args.shape;
  const Range range = piece(s.count, kChunkElements, chunk);
  if (s.from == s.to) {
    const std::int64_t begin = storage_bytes(s.from, range.begin), size = storage_bytes(s.from, range.end) - begin;
    std::memmove(static_cast<std::byte*>(args.out.data) + begin, static_cast<const std::byte*>(args.in.data) + begin,
                 static_cast<std::size_t>(size));
    return;
  }
  Block block;
  for (std::int64_t begin = range.begin; begin < range.end; begin += kBlock) {
    const std::int64_t n = smaller(kBlock, range.end - begin);
    load_block(s.from, args.in.data, begin, n, block);
    store_block(block, s.from, s.to, args.out.data, begin, n);
  }
}

const char* refuse_cast_nothing(const CastShape&) { return nullptr; }

double cost_cast(const CastShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.count);
  return stream_seconds(count * (bits(s.from) + bits(s.to)) / 8, m) + kNaiveSeconds * count + kCallSeconds;
}

extern const CastCode cast_reference_code;
const CastCode cast_reference_code = {chunks, workspace, run};

}  // namespace

std::span<const CastKernel> cast_kernels() {
  static const CastKernel kernels[] = {
#define KONV_CAST(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/eltwise/cast_kernels.inc"
#undef KONV_CAST
  };
  return kernels;
}

}  // namespace konv
