// Winograd convolution F(m x m, 3x3) on blocked images: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), for m = 2, 4
// and 6. A tile of (m+2)^2 input pixels becomes as many numbers ("points") per channel, each point is a matrix product over the channels, and the
// products become m^2 output pixels: 16, 36 or 64 multiply-adds instead of 36, 144 or 324.
//   V [input block][point][kPitch tiles][lanes]     transformed inputs of a chunk's tiles
//   U [output block][point][input channel][lanes]   transformed weights
//   M [output block][point][kPitch tiles][lanes]    products
// Strides in V and M are constants, so that the places of a tile need no registers; the odd pitch spreads them over the sets of a cache.
// Weights stream through the cache once per chunk, so a chunk holds as many tiles as V may: the fewer, the longer the wait for weights.
// Only for units of an instruction set (per_isa.h): everything is in an unnamed namespace.
#pragma once

#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"

namespace konv::KONV_ISA {
namespace {

constexpr std::int64_t kMostTiles = 28, kPitch = kMostTiles + 1;  ///< of a chunk
constexpr std::int64_t kPoint = kPitch * kLanes;                  ///< floats from point to point

/// One row or column of a tile: B^T d.
inline __attribute__((always_inline)) void transform_input_line(const Vector (&d)[4], Vector (&t)[4]) {
  t[0] = d[0] - d[2];
  t[1] = d[1] + d[2];
  t[2] = d[2] - d[1];
  t[3] = d[3] - d[1];
}

inline __attribute__((always_inline)) void transform_input_line(const Vector (&d)[6], Vector (&t)[6]) {
  const Vector a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1], c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
  t[0] = 4.0f * d[0] + (d[4] - 5.0f * d[2]);
  t[1] = a + b;
  t[2] = a - b;
  t[3] = c + e;
  t[4] = c - e;
  t[5] = 4.0f * d[1] + (d[5] - 5.0f * d[3]);
}

inline __attribute__((always_inline)) void transform_input_line(const Vector (&d)[8], Vector (&t)[8]) {
  const Vector a = d[2] - 4.25f * d[4] + d[6], b = d[1] - 4.25f * d[3] + d[5];
  const Vector c = 0.25f * d[2] - 1.25f * d[4] + d[6], e = 0.5f * d[1] - 2.5f * d[3] + 2.0f * d[5];
  const Vector f = 4.0f * d[2] - 5.0f * d[4] + d[6], g = 2.0f * d[1] - 2.5f * d[3] + 0.5f * d[5];
  t[0] = d[0] - 5.25f * d[2] + 5.25f * d[4] - d[6];
  t[1] = a + b;
  t[2] = a - b;
  t[3] = c + e;
  t[4] = c - e;
  t[5] = f + g;
  t[6] = f - g;
  t[7] = 5.25f * d[3] - d[1] - 5.25f * d[5] + d[7];
}

/// One row or column of products: A^T m.
inline __attribute__((always_inline)) void transform_output_line(const Vector (&m)[4], Vector (&y)[2]) {
  y[0] = m[0] + m[1] + m[2];
  y[1] = m[1] - m[2] + m[3];
}

inline __attribute__((always_inline)) void transform_output_line(const Vector (&m)[6], Vector (&y)[4]) {
  const Vector p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], w = m[3] - m[4];
  y[0] = m[0] + p + r;
  y[1] = q + 2.0f * w;
  y[2] = p + 4.0f * r;
  y[3] = m[5] + q + 8.0f * w;
}

inline __attribute__((always_inline)) void transform_output_line(const Vector (&m)[8], Vector (&y)[6]) {
  const Vector p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], w = m[3] - m[4], u = m[5] + m[6], v = m[5] - m[6];
  y[0] = m[0] + p + r + 32.0f * u;
  y[1] = q + 2.0f * w + 16.0f * v;
  y[2] = p + 4.0f * r + 8.0f * u;
  y[3] = q + 8.0f * w + 4.0f * v;
  y[4] = p + 16.0f * r + 2.0f * u;
  y[5] = m[7] + q + 32.0f * w + v;
}

/// G, from the three weights of a row or column to a point each.
template <int Tile>
constexpr double kWeightTransform[Tile + 2][3] = {};
template <>
constexpr double kWeightTransform<2>[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
template <>
constexpr double kWeightTransform<4>[6][3] = {{0.25, 0, 0},
                                              {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                              {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                              {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                              {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                              {0, 0, 1}};
template <>
constexpr double kWeightTransform<6>[8][3] = {{1, 0, 0},
                                              {-2.0 / 9, -2.0 / 9, -2.0 / 9},
                                              {-2.0 / 9, 2.0 / 9, -2.0 / 9},
                                              {1.0 / 90, 1.0 / 45, 2.0 / 45},
                                              {1.0 / 90, -1.0 / 45, 2.0 / 45},
                                              {1.0 / 45, 1.0 / 90, 1.0 / 180},
                                              {1.0 / 45, -1.0 / 90, 1.0 / 180},
                                              {0, 0, 1}};

struct Tiling {
  std::int64_t rows, columns;  ///< tiles of an image
  std::int64_t in_blocks, out_blocks;
  std::int64_t tiles;        ///< of a chunk, from any images
  std::int64_t group;        ///< tiles of a chunk that are transformed, multiplied and finished before the next
  std::int64_t together;     ///< output blocks of one product
  std::int64_t part_blocks;  ///< output blocks of a chunk
  std::int64_t tile_chunks, parts;
  bool far;    ///< the transformed weights do not stay in the second cache from one run to the next
  bool early;  ///< several threads, and weights that are half of that cache
};

/// Tiles of a group whose V is to stay in the first cache, and how large that may be: weights pass through there, too.
constexpr std::int64_t kFewTiles = 8, kFirstCache = 20 << 10;

/// Products may take the places of what they are made from, where one pass computes them.
bool in_place(const Tiling& t) { return t.in_blocks == 1 && t.out_blocks == 1; }

/// What the products of so many tiles take, in the unit of best_width().
std::int64_t passes_cost(std::int64_t tiles, std::int64_t out_blocks) {
  const auto cost = [tiles](std::int64_t width) { return ceil_div(tiles, width) * (2 * width + 3); };
  return out_blocks > 1 ? cost(best_width(TileWidths<2>::List{}, tiles)) : cost(best_width(TileWidths<1>::List{}, tiles));
}

/// How many threads share a layer's chunks.
enum class Threads { one, two, several };

/// For one thread as few chunks as V allows; for others an even number where the layer is worth it, two for two: parts of the output channels (each transforms the
/// input again, and fetches most of it from another core) where there are more weights than pixels, and they are far or the tiles few; else fewer tiles
/// each, but not fewer than products are wide.
template <int Tile>
Tiling tiling(const ConvShape& s, Threads threads) {
  const bool alone = threads == Threads::one;
  constexpr std::int64_t points = (Tile + 2) * (Tile + 2), most_floats = 144 << 10;
  Tiling t;
  t.rows = ceil_div(s.out_h(), Tile);
  t.columns = ceil_div(s.out_w(), Tile);
  t.in_blocks = ceil_div(s.in_channels, kLanes);
  t.out_blocks = ceil_div(s.out_channels, kLanes);
  const std::int64_t all = larger(1, s.batch * t.rows * t.columns), in = t.in_blocks * kLanes, out = t.out_blocks * kLanes;
  const bool few = in_place(t) && points * in * kFewTiles * 4 <= kFirstCache;
  const std::int64_t most = clamped(most_floats / (points * in), 8, kMostTiles);
  t.tile_chunks = few && alone ? 1 : ceil_div(all, most);
  t.part_blocks = t.out_blocks;
  const std::int64_t work = all * points * (in * out + 4 * in + 3 * out);  // multiply-adds, the transforms by their additions
  const std::int64_t wanted = alone ? 1 : work > 300'000 && threads == Threads::several ? 4 : work > 120'000 ? 2 : 1;
  t.far = points * in * out * 4 > kNearWeights;
  t.early = !alone && points * in * out * 4 > kNearWeights / 2;
  if (t.tile_chunks < wanted && out > all && (all < 16 || t.far) && t.out_blocks >= 4) {
    const std::int64_t pairs = ceil_div(t.out_blocks, 2);
    t.part_blocks = 2 * ceil_div(pairs, smaller(pairs, ceil_div(wanted, t.tile_chunks)));
  }
  t.parts = ceil_div(t.out_blocks, t.part_blocks);
  if (t.tile_chunks * t.parts < wanted)
    t.tile_chunks = larger(t.tile_chunks, smaller(ceil_div(wanted, t.parts), all / (kLanes >= 16 ? 8 : 4)));
  if (!alone && t.tile_chunks > 1 && t.parts == 1) t.tile_chunks += t.tile_chunks % 2;
  t.tiles = ceil_div(all, t.tile_chunks);
  if (alone && t.tile_chunks > 1) {  // nobody waits for the other chunks: as even as can be, or whole ones and what is left
    const std::int64_t whole = smaller(most, all);
    const auto cost = [&](std::int64_t tiles) {
      const std::int64_t last = all - (t.tile_chunks - 1) * tiles;
      return last < 1 ? INT64_MAX : (t.tile_chunks - 1) * passes_cost(tiles, t.out_blocks) + passes_cost(last, t.out_blocks);
    };
    if (cost(whole) < cost(t.tiles)) t.tiles = whole;
  }
  if (few) t.tiles = round_up(t.tiles, kFewTiles);
  t.tile_chunks = ceil_div(all, t.tiles);
  t.group = few ? kFewTiles : t.tiles;
  t.together = smaller(blocks_together(t.group, t.out_blocks), t.part_blocks);
  return t;
}

/// What is fetched ahead. A point's first pass: its weights, `early` where several threads each multiply them by few tiles and wait for L3. Others find those in
/// the first cache, if they are not too many. Far: the weights of one output block from `ahead` on, too, to the second cache.
enum class Fetch { nothing, weights, early, far };

/// One point; the pixels of the next block, and at the end those of the next point, are fetched to the first cache.
template <int Width, int Blocks, Fetch Ahead>
void multiply(std::int64_t in_blocks, std::int64_t points, std::int64_t u_block, const float* v, const float* u, const float* ahead,
              float* m) {
  Vector acc[Blocks][Width] = {};
  const float* const next_point = v + kPoint;
  for (std::int64_t block = 0; block < in_blocks; ++block, v += points * kPoint) {
    const float* const next = block + 1 < in_blocks ? v + points * kPoint : next_point;
#pragma GCC unroll 28
    for (int p = 0; p < Width; ++p) __builtin_prefetch(next + p * kLanes);
#pragma GCC unroll 4
    for (int c = 0; c < kLanes; ++c, u += kLanes) {
      Vector w[Blocks];
#pragma GCC unroll 4
      for (int b = 0; b < Blocks; ++b) {
        w[b] = load(u + b * u_block);
        if constexpr (Ahead != Fetch::nothing) __builtin_prefetch(u + b * u_block + (Ahead == Fetch::early ? 64 : 16) * kLanes);
      }
      if constexpr (Ahead == Fetch::far) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += kLanes;
      }
#pragma GCC unroll 16
      for (int p = 0; p < Width; ++p) multiply_add(v[p * kLanes + c], w, p, acc);
    }
  }
#pragma GCC unroll 4
  for (int b = 0; b < Blocks; ++b) {
#pragma GCC unroll 16
    for (int t = 0; t < Width; ++t) store(m + b * points * kPoint + t * kLanes, acc[b][t]);
  }
}

using MultiplyFunction = void (*)(std::int64_t, std::int64_t, std::int64_t, const float*, const float*, const float*, float*);

template <int Blocks, Fetch Ahead, int... Widths>
MultiplyFunction multiply_of(WidthList<Widths...>, int width) {
  MultiplyFunction found = nullptr;
  ((found = width == Widths ? &multiply<Widths, Blocks, Ahead> : found), ...);
  return found;
}

/// kFewTiles tiles of one block, in and out: two points at a time, or too few sums would be in flight. The same sums as multiply()'s.
void multiply_pair(const float* v, const float* u, float* m) {
  Vector acc[2][kFewTiles] = {};
#pragma GCC unroll 16
  for (int c = 0; c < kLanes; ++c) {
    const Vector first = load(u + c * kLanes), second = load(u + (kLanes + c) * kLanes);
#pragma GCC unroll 16
    for (int p = 0; p < kFewTiles; ++p) {
      acc[0][p] += v[p * kLanes + c] * first;
      acc[1][p] += v[kPoint + p * kLanes + c] * second;
    }
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 16
    for (int p = 0; p < kFewTiles; ++p) store(m + i * kPoint + p * kLanes, acc[i][p]);
  }
}

/// Weights of a point that stay in the first cache while a pass reads and writes its tiles.
constexpr std::int64_t kNearFloats = 4 << 10;

/// M of `Blocks` output blocks: every point's product, tiles in the width that wastes least.
template <int Blocks>
void products(const Tiling& t, std::int64_t points, std::int64_t tiles, const float* v, const float* u, float* m) {
  const std::int64_t u_point = t.in_blocks * kLanes * kLanes;
  using List = typename TileWidths<Blocks>::List;
  const int width = best_width(List{}, tiles);
  if (in_place(t) && tiles == kFewTiles && kRegisters > 16) {
    for (std::int64_t p = 0; p < points; p += 2) multiply_pair(v + p * kPoint, u + p * u_point, m + p * kPoint);
    return;
  }
  const MultiplyFunction first = t.far     ? multiply_of<Blocks, Fetch::far>(List{}, width)
                                 : t.early ? multiply_of<Blocks, Fetch::early>(List{}, width)
                                           : multiply_of<Blocks, Fetch::weights>(List{}, width);
  const MultiplyFunction other = t.far || Blocks * u_point > kNearFloats ? first : multiply_of<Blocks, Fetch::nothing>(List{}, width);
  for (std::int64_t p = 0; p < points; ++p, u += u_point) {
    for (std::int64_t begin = 0, block = 0; begin < tiles; begin += width, block = (block + 1) % Blocks) {
      const std::int64_t tile = smaller(begin, tiles - width) * kLanes;
      const float* next = u + (block * points + 1) * u_point;  // of the next point, for every pass another block's
      (begin == 0 ? first : other)(t.in_blocks, points, points * u_point, v + p * kPoint + tile, u, next, m + p * kPoint + tile);
    }
  }
}

/// Where a tile's first output pixel lies. Tiles are counted along the rows, then down, then through the images.
struct TilePlace {
  std::int64_t n, y, x;

  template <int Tile>
  void next(const Tiling& t) {  // steps, since a division takes as long as the transform of a tile
    if ((x += Tile) < t.columns * Tile) return;
    x = 0;
    if ((y += Tile) < t.rows * Tile) return;
    y = 0;
    ++n;
  }
};

template <int Tile>
TilePlace place(const Tiling& t, std::int64_t tile) {
  const std::int64_t in_image = tile % (t.rows * t.columns);
  return {tile / (t.rows * t.columns), in_image / t.columns * Tile, in_image % t.columns * Tile};
}

/// One tile of one block of channels. The places of the next tile are fetched for writing, or every store would wait for the second cache.
template <int Tile>
void transform_input(const float* in, std::int64_t row, float* v) {
  constexpr int side = Tile + 2;
  Vector lines[side][side];
#pragma GCC unroll 8
  for (int i = 0; i < side; ++i) {
    Vector d[side];
#pragma GCC unroll 8
    for (int j = 0; j < side; ++j) d[j] = load(in + i * row + j * kLanes);
    transform_input_line(d, lines[i]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < side; ++j) {
    Vector d[side], t[side];
#pragma GCC unroll 8
    for (int i = 0; i < side; ++i) d[i] = lines[i][j];
    transform_input_line(d, t);
#pragma GCC unroll 8
    for (int i = 0; i < side; ++i) store(v + (i * side + j) * kPoint, t[i]);
#pragma GCC unroll 8
    for (int i = 0; i < side; ++i) __builtin_prefetch(v + (i * side + j) * kPoint + kLanes, 1);
  }
}

template <int Tile>
void transform_inputs(const ConvArgs& args, const Tiling& t, Range tiles, float* v) {
  const ConvShape& s = args.shape;
  const TensorView& in = args.in;
  TilePlace at = place<Tile>(t, tiles.begin);
  for (std::int64_t i = tiles.begin; i < tiles.end; ++i, at.next<Tile>(t), v += kLanes) {
    const float* from = in.f32() + at.n * in.strides[0] + (at.y - s.pad_top) * in.strides[2] + (at.x - s.pad_left) * kLanes;
    for (std::int64_t block = 0; block < t.in_blocks; ++block)
      transform_input<Tile>(from + block * in.strides[1], in.strides[2], v + block * (Tile + 2) * (Tile + 2) * kPoint);
  }
}

/// The products of a tile to Tile rows, of which transform_output_line() makes sums; point (1, 1) is part of every output pixel and takes the bias along.
template <int Tile>
inline __attribute__((always_inline)) void transform_columns(const float* m, Vector bias, Vector (&lines)[Tile][Tile + 2]) {
#pragma GCC unroll 8
  for (int j = 0; j < Tile + 2; ++j) {
    Vector d[Tile + 2], t[Tile];
#pragma GCC unroll 8
    for (int i = 0; i < Tile + 2; ++i) d[i] = load(m + (i * (Tile + 2) + j) * kPoint);
    if (j == 1) d[1] += bias;
    transform_output_line(d, t);
#pragma GCC unroll 8
    for (int i = 0; i < Tile; ++i) lines[i][j] = t[i];
  }
}

/// Residual and ReLU of `columns` pixels of a row, from its line of products.
template <int Tile>
inline __attribute__((always_inline)) void finish_line(const Vector (&line)[Tile + 2], const float* add, const Bounds& bounds, float* to,
                                                       std::int64_t columns) {
  Vector y[Tile];
  transform_output_line(line, y);
  if (add) {
#pragma GCC unroll 8
    for (int c = 0; c < Tile; ++c) {
      if (c < columns) y[c] += load(add + c * kLanes);
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < Tile; ++c) {
    if (c < columns) store(to + c * kLanes, bounds.apply(y[c]));
  }
}

/// Where an output block of a tile is written, and from where its residual is added.
struct TileEnds {
  float* to;
  std::int64_t to_row;
  const float* add;  ///< or null
  std::int64_t add_row;
};

/// A whole tile; the next one's pixels are fetched for writing.
template <int Tile>
inline __attribute__((always_inline)) void finish_whole(const float* m, Vector bias, const Bounds& bounds, const TileEnds& ends) {
  Vector lines[Tile][Tile + 2];
  transform_columns<Tile>(m, bias, lines);
#pragma GCC unroll 8
  for (int r = 0; r < Tile; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < Tile; ++c) __builtin_prefetch(ends.to + r * ends.to_row + (c + Tile) * kLanes, 1);
    finish_line<Tile>(lines[r], ends.add ? ends.add + r * ends.add_row : nullptr, bounds, ends.to + r * ends.to_row, Tile);
  }
}

/// A tile that is cut off at the image's edge, or whose activation is more than bounds. Apart, so that the lines of others stay in registers.
template <int Tile>
__attribute__((noinline)) void finish_part(const float* m, Vector bias, const Activation& activation, const TileEnds& ends,
                                           std::int64_t rows, std::int64_t columns, std::int64_t channels) {
  const Bounds bounds(activation);
  Vector lines[Tile][Tile + 2];
  transform_columns<Tile>(m, bias, lines);
  for (int r = 0; r < rows; ++r) {
    float* row = ends.to + r * ends.to_row;
    finish_line<Tile>(lines[r], ends.add ? ends.add + r * ends.add_row : nullptr, bounds, row, columns);
    if (!Bounds::suffice(activation)) activate_blocked(activation, row, columns, channels);
  }
}

/// One output block: sums, bias, residual and activation of every tile, cut off at the image's edge.
template <int Tile>
void transform_outputs(const ConvArgs& args, const Tiling& t, Range tiles, std::int64_t block, const float* m) {
  const ConvShape& s = args.shape;
  const TensorView &out = args.out, &residual = args.residual;
  const std::int64_t channels = s.out_channels - block * kLanes, width = s.out_w(), height = s.out_h();
  const Bounds bounds(args.activation);
  const bool simple = Bounds::suffice(args.activation);
  const Vector bias = load(Biases<1>(args.bias, block * kLanes, s.out_channels).at);
  TilePlace at = place<Tile>(t, tiles.begin);
  for (std::int64_t i = tiles.begin; i < tiles.end; ++i, at.next<Tile>(t), m += kLanes) {
    const auto in_block = [&](const TensorView& image) {
      return image.f32() + at.n * image.strides[0] + block * image.strides[1] + at.y * image.strides[2] + at.x * kLanes;
    };
    const TileEnds ends{in_block(out), out.strides[2], residual.data ? in_block(residual) : nullptr, residual.strides[2]};
    if (at.y + Tile <= height && at.x + Tile <= width && simple) {
      finish_whole<Tile>(m, bias, bounds, ends);
    } else {
      finish_part<Tile>(m, bias, args.activation, ends, smaller(Tile, height - at.y), smaller(Tile, width - at.x), channels);
    }
  }
}

/// Weights as they are multiplied: transformed when they are packed.
template <int Tile>
struct TransformedWeights {
  static constexpr int kSide = Tile + 2;
  static constexpr std::int64_t kPoints = kSide * kSide;
  static constexpr std::int64_t kTogether = kMostBlocks;  ///< output blocks whose products are made at once, at most

  static std::size_t packed_bytes(const ConvShape& s) {
    return static_cast<std::size_t>(kPoints * round_up(s.in_channels, kLanes) * round_up(s.out_channels, kLanes)) * sizeof(float);
  }

  /// G g G^T in double, rounded once.
  static void pack(const ConvShape& s, const float* weight, void* packed) {
    constexpr auto& G = kWeightTransform<Tile>;
    float* to = static_cast<float*>(packed);
    const std::int64_t in = round_up(s.in_channels, kLanes);
    std::memset(to, 0, packed_bytes(s));
    for (std::int64_t o = 0; o < s.out_channels; ++o) {
      for (std::int64_t c = 0; c < s.in_channels; ++c) {
        const float* g = weight + (o * s.in_channels + c) * 9;
        double half[kSide][3];
        for (int i = 0; i < kSide; ++i) {
          for (int k = 0; k < 3; ++k) half[i][k] = G[i][0] * g[k] + G[i][1] * g[3 + k] + G[i][2] * g[6 + k];
        }
        float* at = to + (o / kLanes * kPoints * in + c) * kLanes + o % kLanes;
        for (int i = 0; i < kSide; ++i) {
          for (int j = 0; j < kSide; ++j) {
            at[(i * kSide + j) * in * kLanes] = static_cast<float>(half[i][0] * G[j][0] + half[i][1] * G[j][1] + half[i][2] * G[j][2]);
          }
        }
      }
    }
  }

  /// M of `Blocks` output blocks from `block` on.
  template <int Blocks>
  static void products(const Tiling& t, const ConvArgs& args, std::int64_t block, std::int64_t tiles, const float* v, float* m) {
    konv::KONV_ISA::products<Blocks>(t, kPoints, tiles, v,
                                     static_cast<const float*>(args.weight) + block * kPoints * t.in_blocks * kLanes * kLanes, m);
  }
};

template <int Tile, Threads Count, class Weights>
struct Winograd {
  static constexpr int kSide = Tile + 2;
  static constexpr std::int64_t kPoints = kSide * kSide, kPlane = kPoints * kPoint;

  static std::int64_t chunks(const ConvShape& s) {
    const Tiling t = tiling<Tile>(s, Count);
    return t.tile_chunks * t.parts;
  }

  static std::size_t workspace(const ConvShape& s) {
    const Tiling t = tiling<Tile>(s, Count);
    return static_cast<std::size_t>(kPlane * (t.in_blocks + t.together)) * sizeof(float);
  }

  static void run_group(const ConvArgs& args, const Tiling& t, Range tiles, Range blocks, float* v) {
    transform_inputs<Tile>(args, t, tiles, v);
    float* m = in_place(t) && tiles.size() == kFewTiles ? v : v + t.in_blocks * kPlane;
    const std::int64_t together = smaller(t.together, Weights::kTogether);
    for (std::int64_t first = blocks.begin; first < blocks.end; first += together) {
      each_few_blocks({first, smaller(blocks.end, first + together)}, [&]<int Blocks>(std::int64_t b) {
        Weights::template products<Blocks>(t, args, b, tiles.size(), v, m);
        for (std::int64_t i = 0; i < Blocks; ++i) transform_outputs<Tile>(args, t, tiles, b + i, m + i * kPlane);
      });
    }
  }

  static void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
    const ConvShape& s = args.shape;
    const Tiling t = tiling<Tile>(s, Count);
    const Range tiles = piece(s.batch * t.rows * t.columns, t.tiles, chunk / t.parts);
    const Range blocks = piece(t.out_blocks, t.part_blocks, chunk % t.parts);
    float* v = static_cast<float*>(workspace);
    for (std::int64_t begin = tiles.begin; begin < tiles.end; begin += t.group)
      run_group(args, t, {begin, smaller(tiles.end, begin + t.group)}, blocks, v);
  }

  /// Whole tiles are read, also where they reach beyond the last output pixel.
  static Halo halo(const ConvShape& s) {
    const auto after = [](std::int64_t size, std::int64_t out, std::int64_t before) {
      return static_cast<int>(larger(0, round_up(out, Tile) + 2 - before - size));
    };
    return {static_cast<int>(s.pad_top), static_cast<int>(s.pad_left), after(s.in_h, s.out_h(), s.pad_top),
            after(s.in_w, s.out_w(), s.pad_left)};
  }
};

/// `error`: largest error in multiples of the direct convolution's (measured at 64 channels).
template <int Tile, class Weights = TransformedWeights<Tile>>
constexpr ConvCode winograd_code(double error) {
  using Shared = Winograd<Tile, Threads::several, Weights>;
  using Alone = Winograd<Tile, Threads::one, Weights>;
  using Pair = Winograd<Tile, Threads::two, Weights>;
  return {{Shared::chunks, Shared::workspace, Shared::run},
          kLanes,
          kLanes,
          Shared::halo,
          Weights::packed_bytes,
          Weights::pack,
          {Alone::chunks, Alone::workspace, Alone::run},
          {Pair::chunks, Pair::workspace, Pair::run},
          error};
}

}  // namespace
}  // namespace konv::KONV_ISA
