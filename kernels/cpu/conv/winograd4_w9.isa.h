// Winograd F(4x4,3x3) whose weights stay the 9 numbers of a filter and become its 36 points in registers, row by row of points, just before they are multiplied.
// Costs some 50 additions per vector of filters and pass over the tiles, where fetching transformed weights costs four times the bytes: for few tiles and weights
// that come from far away.
//   W [output block][input channel][9][lanes]
#include "kernels/cpu/conv/winograd_tile.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_winograd4_w9_f32);

namespace KONV_ISA {
namespace {

/// A row or column of weights to point `I`: kWeightTransform's, without the factor below, which the products take.
template <int I>
inline __attribute__((always_inline)) Vector weight_point(Vector g0, Vector g1, Vector g2) {
  if constexpr (I == 0) return g0;
  if constexpr (I == 1) return (g0 + g2) + g1;
  if constexpr (I == 2) return (g0 + g2) - g1;
  if constexpr (I == 3) return (g0 + 4.0f * g2) + 2.0f * g1;
  if constexpr (I == 4) return (g0 + 4.0f * g2) - 2.0f * g1;
  return g2;
}

constexpr float kPointScale[6] = {1.0f / 4, -1.0f / 6, -1.0f / 6, 1.0f / 24, 1.0f / 24, 1};

/// Weights of one input block and one output block: they stay in the first cache while rows of points and tiles pass. So many blocks are fetched ahead.
constexpr std::int64_t kStepWeights = 9 * kLanes * kLanes, kAheadSteps = 3;

/// The products of one input block and a few tiles.
struct Step {
  const float *v, *w;
  const float* next;   ///< transformed inputs of the step that follows, fetched to the first cache while these are multiplied
  const float* ahead;  ///< weights of a later step, fetched while these are multiplied, or null
  bool first, last;    ///< of the input blocks: nothing has been added up yet; the sums are whole
};

template <int I, int Row, int Tiles>
inline __attribute__((always_inline)) void multiply_point(const float* v, Vector g0, Vector g1, Vector g2, Vector (&acc)[Tiles]) {
  const Vector u = weight_point<I>(g0, g1, g2);
#pragma GCC unroll 4
  for (int t = 0; t < Tiles; ++t) acc[t] += v[(Row * 6 + I) * kPoint + t * kLanes] * u;
}

template <int Row, int Tiles>
inline __attribute__((always_inline)) void multiply_row(const float* v, const float* w, Vector (&acc)[6][Tiles]) {
  const auto column = [w](int i) {
    return weight_point<Row>(load(w + i * kLanes), load(w + (3 + i) * kLanes), load(w + (6 + i) * kLanes));
  };
  const Vector g0 = column(0), g1 = column(1), g2 = column(2);
  multiply_point<0, Row>(v, g0, g1, g2, acc[0]);
  multiply_point<1, Row>(v, g0, g1, g2, acc[1]);
  multiply_point<2, Row>(v, g0, g1, g2, acc[2]);
  multiply_point<3, Row>(v, g0, g1, g2, acc[3]);
  multiply_point<4, Row>(v, g0, g1, g2, acc[4]);
  multiply_point<5, Row>(v, g0, g1, g2, acc[5]);
}

/// Calls each(row, point, tile, place in m, factor) for the sums of some rows of points.
template <int Tiles, int... Rows, class Each>
inline __attribute__((always_inline)) void each_sum(const Each& each) {
  constexpr int rows[] = {Rows...};
#pragma GCC unroll 2
  for (int r = 0; r < static_cast<int>(sizeof...(Rows)); ++r) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) {
#pragma GCC unroll 4
      for (int t = 0; t < Tiles; ++t) each(r, i, t, (rows[r] * 6 + i) * kPoint + t * kLanes, kPointScale[rows[r]] * kPointScale[i]);
    }
  }
}

/// The products of `Tiles` tiles at one row of points or at two, added to m.
template <int Tiles, int... Rows>
void multiply_rows(const Step& step, float* m) {
  constexpr int rows[] = {Rows...}, count = sizeof...(Rows);
  Vector acc[count][6][Tiles] = {};
  if (!step.first) {
    each_sum<Tiles, Rows...>([&](int r, int i, int t, std::int64_t at, float) { acc[r][i][t] = load(m + at); });
  }
  constexpr std::int64_t share = 9 * kLanes / (6 / count);  // of what is fetched ahead, per channel
  constexpr int turn = count == 1 ? rows[0] : (rows[0] + 1) / 2;
  const float* ahead = step.ahead ? step.ahead + kLanes * share * turn : nullptr;
  each_sum<Tiles, Rows...>([&](int, int, int, std::int64_t at, float) { __builtin_prefetch(step.next + at); });
  const float *v = step.v, *w = step.w, *const end = w + kStepWeights;
  for (; w < end; w += 9 * kLanes, ++v) {
    asm("" : "+r"(v));  // a pixel's address in one register: with two, a multiply-add that reads memory starts as two instructions
    if (ahead) {
#pragma GCC unroll 4
      for (std::int64_t line = 0; line < share; line += 16) __builtin_prefetch(ahead + line, 0, 2);
      ahead += share;
    }
    int at = 0;
    (multiply_row<Rows>(v, w, acc[at++]), ...);
  }
  if (step.last) {
    each_sum<Tiles, Rows...>([&](int r, int i, int t, std::int64_t at, float scale) { store(m + at, scale * acc[r][i][t]); });
  } else {
    each_sum<Tiles, Rows...>([&](int r, int i, int t, std::int64_t at, float) { store(m + at, acc[r][i][t]); });
  }
}

/// Tiles for which weights are transformed once, at most.
constexpr std::int64_t kMostAtOnce = kRegisters > 16 ? 4 : 2;

/// All points of `Tiles` tiles: as many rows at a time as registers hold.
template <int Tiles>
void multiply_tiles(const Step& step, float* m) {
  if constexpr (2 * Tiles > kMostAtOnce) {
    multiply_rows<Tiles, 0>(step, m);
    multiply_rows<Tiles, 1>(step, m);
    multiply_rows<Tiles, 2>(step, m);
    multiply_rows<Tiles, 3>(step, m);
    multiply_rows<Tiles, 4>(step, m);
    multiply_rows<Tiles, 5>(step, m);
  } else {
    multiply_rows<Tiles, 0, 5>(step, m);
    multiply_rows<Tiles, 1, 2>(step, m);
    multiply_rows<Tiles, 3, 4>(step, m);
  }
}

struct NineWeights {
  static constexpr std::int64_t kTogether = 1;

  static std::size_t packed_bytes(const ConvShape& s) {
    return static_cast<std::size_t>(9 * round_up(s.in_channels, kLanes) * round_up(s.out_channels, kLanes)) * sizeof(float);
  }

  static void pack(const ConvShape& s, const float* weight, void* packed) {
    float* to = static_cast<float*>(packed);
    const std::int64_t in = round_up(s.in_channels, kLanes);
    std::memset(to, 0, packed_bytes(s));
    for (std::int64_t o = 0; o < s.out_channels; ++o) {
      float* at = to + o / kLanes * in * 9 * kLanes + o % kLanes;
      for (std::int64_t i = 0; i < s.in_channels * 9; ++i) at[i * kLanes] = weight[o * s.in_channels * 9 + i];
    }
  }

  /// M of one output block: kTogether says that there are never more.
  template <int Blocks>
  static void products(const Tiling& t, const ConvArgs& args, std::int64_t block, std::int64_t tiles, const float* v, float* m) {
    const float* w = static_cast<const float*>(args.weight) + block * t.in_blocks * kStepWeights;
    for (std::int64_t b = 0; b < t.in_blocks; ++b, v += 36 * kPoint, w += kStepWeights) {
      Step step{v, w, nullptr, w + kAheadSteps * kStepWeights, b == 0, b + 1 == t.in_blocks};
      for (std::int64_t tile = 0; tile < tiles;) {
        const std::int64_t left = smaller(tiles - tile, kMostAtOnce), width = left == 3 ? 2 : left;
        float* to = m + tile * kLanes;
        step.next = tile + width < tiles ? step.v + width * kLanes : v + 36 * kPoint;
        if (width == 4) {
          if constexpr (kMostAtOnce == 4) multiply_tiles<4>(step, to);
        } else if (width == 2) {
          multiply_tiles<2>(step, to);
        } else {
          multiply_tiles<1>(step, to);
        }
        tile += width;
        step.v += width * kLanes;
        step.ahead = nullptr;
      }
    }
  }
};

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_winograd4_w9_f32) = KONV_ISA::winograd_code<4, KONV_ISA::NineWeights>(5);

}  // namespace konv
