// The end of integer convolutions of 16-bit images, whose sums take 64 bits: weights in two parts, sums from both, requantize.h for kLanes channels of a pixel.
// Only for units of an instruction set (per_isa.h).
#pragma once

#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/element.h"
#include "kernels/cpu/integer/finish.h"

namespace konv::KONV_ISA {
namespace {

/// w = 256 high + low     high signed, low 0 to 255
inline std::int16_t high_part(int weight) { return static_cast<std::int16_t>(weight >> 8); }
inline std::int16_t low_part(int weight) { return static_cast<std::int16_t>(weight & 255); }

/// A function of its own: where it can see both sides, the compiler takes the vectors apart.
[[maybe_unused]] __attribute__((noinline)) void add_parts(const std::int32_t* high, const std::int32_t* low, std::int64_t count,
                                                          std::int64_t* sums) {
  for (std::int64_t i = 0; i < count; ++i) sums[i] += std::int64_t{high[i]} * 256 + low[i];
}

/// Adds the sums of products with either part, of `Pixels` vectors.
template <int Pixels>
inline __attribute__((always_inline)) void add_parts(const Ints (&high)[Pixels], const Ints (&low)[Pixels], std::int64_t* sums) {
  std::int32_t high_parts[Pixels * kLanes], low_parts[Pixels * kLanes];
#pragma GCC unroll 8
  for (int p = 0; p < Pixels; ++p) {
    std::memcpy(high_parts + p * kLanes, &high[p], sizeof high[p]);
    std::memcpy(low_parts + p * kLanes, &low[p], sizeof low[p]);
  }
  add_parts(high_parts, low_parts, Pixels * kLanes, sums);
}

inline __attribute__((always_inline)) Pairs load_pairs(const std::int16_t* p) {
  Pairs v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

/// The channels that a tile computes, and where they go.
struct Lanes {
  const std::int64_t* start;  ///< the sum's first term: -in_zero times the sum of the channel's weights
  const float *multiplier, *offset;
};

template <class T>
void write_lanes(const TensorView& out, std::int64_t at, const std::int32_t* integers) {
  T* to = static_cast<T*>(out.data) + at;
  for (int l = 0; l < kLanes; ++l) to[l] = static_cast<T>(integers[l]);
}

/// requantize.h for the kLanes sums of one pixel.
void finish(const IntegerConvArgs& args, const std::int64_t* sums, const Lanes& lanes, std::int64_t out_at, std::int64_t residual_at) {
  const Requantize& q = args.output;
  const TensorView &out = args.out, &residual = args.residual;
  float reals[kLanes];
  for (int l = 0; l < kLanes; ++l) reals[l] = static_cast<float>(sums[l]) * lanes.multiplier[l];
  for (int l = 0; l < kLanes; ++l) reals[l] = reals[l] + lanes.offset[l];
  if (residual.data && residual.dtype == DType::int16) {
    const auto* r = static_cast<const std::int16_t*>(residual.data) + residual_at;
    for (int l = 0; l < kLanes; ++l) {
      const float term = static_cast<float>(r[l] - q.residual_zero) * q.residual_multiplier;
      reals[l] = reals[l] + term;
    }
  } else if (residual.data) {
    for (int l = 0; l < kLanes; ++l) {
      const float term = static_cast<float>(integer_at(residual, residual_at + l) - q.residual_zero) * q.residual_multiplier;
      reals[l] = reals[l] + term;
    }
  }
  if (q.activation.kind != ActivationKind::none) {
    activate_reals(q, reals, kLanes);
    for (int l = 0; out.dtype != DType::float32 && l < kLanes; ++l) reals[l] = reals[l] * q.rescale;
  }
  if (out.dtype == DType::float32) {
    std::memcpy(static_cast<float*>(out.data) + out_at, reals, sizeof reals);
    return;
  }
  const Ints rounded = nearest_even(clamp_vector(load(reals), broadcast(q.low), broadcast(q.high))) + q.zero;
  std::int32_t integers[kLanes];
  std::memcpy(integers, &rounded, sizeof integers);
  out.dtype == DType::int16 ? write_lanes<std::int16_t>(out, out_at, integers) : write_lanes<std::uint8_t>(out, out_at, integers);
}

/// Behind the channels' entries: the sums' first terms in 64 bits, then the weights.
struct Packed {
  PackedChannels channels;
  std::int64_t* start;
  std::int16_t* weight;
};

Packed packed_of(const void* packed, const ConvShape& s) {
  const PackedChannels channels = packed_channels(packed, s.out_channels);
  auto* start = static_cast<std::int64_t*>(channels.weight);
  return {channels, start, reinterpret_cast<std::int16_t*>(start + packed_outputs(s.out_channels))};
}

/// Writes the entries of all channels.
Packed pack_channels_s16(const ConvShape& s, const IntegerWeights& weights, void* packed) {
  pack_channels(s, weights, packed);
  const Packed to = packed_of(packed, s);
  const std::int64_t k = s.k();
  for (std::int64_t o = 0; o < packed_outputs(s.out_channels); ++o) {
    std::int64_t sum = 0;
    for (std::int64_t i = 0; o < s.out_channels && i < k; ++i) sum += weights.weight[o * k + i];
    to.start[o] = -sum * weights.in_zero;
  }
  return to;
}

}  // namespace
}  // namespace konv::KONV_ISA
