// The micro-kernel of the blocked convolutions: pixels of one output row x blocks of output channels, sums held in registers.
//   per input channel and tap: one vector of weights for each block, one broadcast input for each pixel
// Only for units of an instruction set (per_isa.h): everything is in an unnamed namespace.
#pragma once

#include <cstdint>

#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/padding.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv::KONV_ISA {
namespace {

/// Widest group of output blocks that a tile computes together.
inline constexpr int kMostBlocks = 4;

/// How a tile walks its input: blocks of channels, then the taps. Distances in floats.
struct Walk {
  std::int64_t blocks, block_stride;
  const std::int64_t* taps;  ///< of each from a pixel's first float in a block
  std::int64_t tap_count;
  std::int64_t last_channels;  ///< of the last block
  std::int64_t weight_block;   ///< from the weights of one output block to the next
};

template <int Pixels, int Blocks>
struct Sums {
  Vector at[Blocks][Pixels];
};

/// What sums begin with; `bias` has kLanes for each block.
template <int Pixels, int Blocks>
inline __attribute__((always_inline)) void start(const float* bias, Vector (&sums)[Blocks][Pixels]) {
#pragma GCC unroll 4
  for (int b = 0; b < Blocks; ++b) {
    const Vector first = load(bias + b * kLanes);
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) sums[b][p] = first;
  }
}

/// Floats of a cache line.
inline constexpr std::int64_t kLineFloats = 16;

/// Weights to be fetched to the second cache: so many cache lines at every block and tap.
struct NextWeights {
  const float* at = nullptr;
  std::int64_t lines = 0;
};

/// `in` is the first pixel's first float; pixels lie Step x InBlock floats apart. Weights: [block][tap][InBlock][kLanes], those of missing channels are zeros.
template <int Pixels, int Blocks, int Step, int InBlock, bool Fetches = false>
inline __attribute__((always_inline)) void accumulate(const Walk& walk, const float* in, const float* weight, const float* bias,
                                                      Sums<Pixels, Blocks>& sums, [[maybe_unused]] NextWeights next = {}) {
  constexpr int kTogether = InBlock % 4 == 0 ? 4 : 1;  // channels
  Vector acc[Blocks][Pixels];
  start(bias, acc);
  for (std::int64_t block = 0; block < walk.blocks; ++block, in += walk.block_stride) {
    const std::int64_t channels = InBlock == kTogether || block < walk.blocks - 1 ? InBlock : walk.last_channels;
    for (std::int64_t t = 0; t < walk.tap_count; ++t, weight += InBlock * kLanes) {
      const float *x = in + walk.taps[t], *at = weight;
      if constexpr (Fetches) {
        for (std::int64_t i = 0; i < next.lines; ++i, next.at += kLineFloats) __builtin_prefetch(next.at, 0, 2);
      }
      for (std::int64_t c = 0; c < channels; c += kTogether, x += kTogether) {
#pragma GCC unroll 4
        for (int i = 0; i < kTogether; ++i, at += kLanes) {
          Vector w[Blocks];
#pragma GCC unroll 4
          for (int b = 0; b < Blocks; ++b) w[b] = load(at + b * walk.weight_block);
#pragma GCC unroll 16
          for (int p = 0; p < Pixels; ++p) multiply_add(x[p * Step * InBlock + i], w, p, acc);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int b = 0; b < Blocks; ++b) {
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) sums.at[b][p] = acc[b][p];
  }
}

#if defined(__AVX512F__)
/// The same sums where the last output block has no more channels than half of its lanes: those of the other half are 0. A core that multiplies 512 bits in two
/// halves takes half as long for one.
template <int Pixels, int Blocks, int Step, int InBlock>
inline __attribute__((always_inline)) void accumulate_with_half(const Walk& walk, const float* in, const float* weight, const float* bias,
                                                                Sums<Pixels, Blocks>& sums) {
  typedef float Half __attribute__((vector_size(sizeof(Vector) / 2)));
  constexpr int kWhole = Blocks - 1;
  const auto load_half = [](const float* p) {
    Half v;
    std::memcpy(&v, p, sizeof v);
    return v;
  };
  Vector acc[Blocks][Pixels];
  Half half[Pixels];
  start(bias, acc);
#pragma GCC unroll 16
  for (int p = 0; p < Pixels; ++p) half[p] = load_half(bias + kWhole * kLanes);
  for (std::int64_t block = 0; block < walk.blocks; ++block, in += walk.block_stride) {
    const std::int64_t channels = block < walk.blocks - 1 ? InBlock : walk.last_channels;
    for (std::int64_t t = 0; t < walk.tap_count; ++t, weight += InBlock * kLanes) {
      const float *x = in + walk.taps[t], *at = weight;
      for (std::int64_t c = 0; c < channels; c += 4, x += 4) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i, at += kLanes) {
          const Half w_half = load_half(at + kWhole * walk.weight_block);
          const Vector w = load(at);
#pragma GCC unroll 16
          for (int p = 0; p < Pixels; ++p) {
            const float pixel = x[p * Step * InBlock + i];
            if constexpr (kWhole > 0) acc[0][p] += pixel * w;
            half[p] += pixel * w_half;
          }
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < Pixels; ++p) {
    if constexpr (kWhole > 0) sums.at[0][p] = acc[0][p];
    sums.at[kWhole][p] = __builtin_shufflevector(half[p], Half{}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }
}
#endif

/// The same sums where the input is plain, there is one output block, and the kernel's rows are `Taps` neighbouring pixels: every one is read once for all
/// taps of a row.
template <int Pixels, int Step, int Taps>
inline __attribute__((always_inline)) void accumulate_plain_rows(const Walk& walk, const float* in, const float* weight, const float* bias,
                                                                 Sums<Pixels, 1>& sums) {
  Vector acc[1][Pixels];
  start(bias, acc);
  for (std::int64_t block = 0; block < walk.blocks; ++block, in += walk.block_stride) {
    for (std::int64_t t = 0; t < walk.tap_count; t += Taps, weight += Taps * kLanes) {
      const float* x = in + walk.taps[t];
      Vector w[Taps];
#pragma GCC unroll 8
      for (int k = 0; k < Taps; ++k) w[k] = load(weight + k * kLanes);
#pragma GCC unroll 40
      for (int i = 0; i < (Pixels - 1) * Step + Taps; ++i) {
#pragma GCC unroll 8
        for (int k = 0; k < Taps; ++k) {
          const int p = (i - k) / Step;
          if (i >= k && (i - k) % Step == 0 && p < Pixels) acc[0][p] += x[i] * w[k];
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < Pixels; ++p) sums.at[0][p] = acc[0][p];
}

/// The biases of output channels from `first` on, 0 where there is none.
template <int Blocks>
struct Biases {
  float at[Blocks * kLanes] = {};

  Biases(const float* bias, std::int64_t first, std::int64_t channels) {
    for (std::int64_t i = 0; bias && i < smaller(channels - first, Blocks * kLanes); ++i) at[i] = bias[first + i];
  }
};

/// Output blocks, what their sums begin with and what follows them.
struct Finish {
  const float* bias;  ///< kLanes for each block, for start()
  std::int64_t out_block, residual_block;
  std::int64_t channels;  ///< that exist, from the first block on: lanes behind them stay zero
  const Activation* activation;
};

/// `count` pixels that lie side by side become activation(x), lanes behind the last channel zero; `x` is already bias and residual.
[[maybe_unused]] void activate_blocked(const Activation& activation, float* x, std::int64_t pixels, std::int64_t channels) {
  activate(activation, x, x, pixels * kLanes);
  if (channels >= kLanes) return;
  for (std::int64_t p = 0; p < pixels; ++p) {
    for (std::int64_t lane = channels; lane < kLanes; ++lane) x[p * kLanes + lane] = 0;
  }
}

/// What a vector can do before it is stored: ReLU, and clipping as MobileNet's ReLU6 does, to bounds that keep zero (of lanes behind the last channel).
struct Bounds {
  Vector low, high;

  explicit Bounds(const Activation& a)
      : low(broadcast(is_clip(a)                       ? a.alpha
                      : a.kind == ActivationKind::relu ? 0.0f
                                                       : -kInfinity)),
        high(broadcast(is_clip(a) ? a.beta : kInfinity)) {}
  /// Nothing remains to be done behind apply().
  static bool suffice(const Activation& a) { return a.kind == ActivationKind::none || a.kind == ActivationKind::relu || is_clip(a); }
  static bool is_clip(const Activation& a) { return a.kind == ActivationKind::clip && a.alpha <= 0 && a.beta >= 0; }

  inline __attribute__((always_inline)) Vector apply(
      Vector x) const {  // keeps NaN; two instructions, where asking which of them are needed takes three
    x = x < low ? low : x;
    return x > high ? high : x;
  }

 private:
  static constexpr float kInfinity = __builtin_inff();
};

/// residual, activation; the pointers are those of the tile's first block.
template <int Pixels, int Blocks>
inline __attribute__((always_inline)) void finish(const Finish& f, Sums<Pixels, Blocks>& sums, float* out, const float* residual) {
  const Bounds bounds(*f.activation);
  const bool done = Bounds::suffice(*f.activation);
#pragma GCC unroll 4
  for (int b = 0; b < Blocks; ++b) {
    float* to = out + b * f.out_block;
    const float* add = residual ? residual + b * f.residual_block : nullptr;
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
      Vector x = sums.at[b][p];
      if (add) x += load(add + p * kLanes);
      store(to + p * kLanes, bounds.apply(x));
    }
    if (!done) activate_blocked(*f.activation, to, Pixels, f.channels - b * kLanes);
  }
}

/// Tile widths that are compiled, by blocks; a row is cut into the one that wastes least.
template <int... Widths>
struct WidthList {};

template <int Blocks>
struct TileWidths;
#if defined(__AVX512F__) || defined(__aarch64__)
template <>
struct TileWidths<1> {
  using List = WidthList<16, 14, 11, 8, 7, 4, 2, 1>;
};
template <>
struct TileWidths<2> {
  using List = WidthList<14, 11, 8, 7, 6, 4, 1>;
};
template <>
struct TileWidths<4> {
  using List = WidthList<6, 4, 2, 1>;
};
#else
template <>
struct TileWidths<1> {
  using List = WidthList<11, 8, 7, 4, 2, 1>;
};
template <>
struct TileWidths<2> {
  using List = WidthList<6, 5, 4, 2, 1>;
};
template <>
struct TileWidths<4> {
  using List = WidthList<2, 1>;
};
#endif

/// Cuts `count` pixels into tiles of one width; the last tile overlaps the one before.
template <int... Widths>
int best_width(WidthList<Widths...>, std::int64_t count) {
  int best = 1;
  std::int64_t best_cost = INT64_MAX;
  const auto consider = [&](int width) {
    if (width > count) return;
    const std::int64_t cost = (count + width - 1) / width * (2 * width + 3);  // a tile's beginning and end take as long as 1.5 pixels
    if (cost < best_cost) best = width, best_cost = cost;
  };
  (consider(Widths), ...);
  return best;
}

/// Calls run.operator()<Blocks>(first block) for all output blocks, four, two or one at a time.
template <class Run>
void each_few_blocks(Range blocks, const Run& run) {
  for (std::int64_t b = blocks.begin; b < blocks.end;) {
    const std::int64_t left = blocks.end - b;
    if (left >= 4) {
      run.template operator()<4>(b);
      b += 4;
    } else if (left >= 2) {
      run.template operator()<2>(b);
      b += 2;
    } else {
      run.template operator()<1>(b);
      b += 1;
    }
  }
}

/// Output blocks computed together: many where rows are short, so that enough sums are in flight.
[[maybe_unused]] int blocks_together(std::int64_t width, std::int64_t blocks) {
  if (blocks >= 4 && width <= 4) return 4;
  return blocks >= 2 ? 2 : 1;
}

}  // namespace
}  // namespace konv::KONV_ISA
