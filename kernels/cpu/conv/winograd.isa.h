// Winograd convolution F(4x4,3x3) on blocked images: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), with the points
// 0, 1, -1, 2, -2. A tile of 6x6 input pixels becomes 36 numbers per channel, each of the 36 is a matrix product over the channels, and their
// results become 4x4 output pixels: 36 multiply-adds instead of 144, for errors some five times those of the direct convolution.
//   V [input block][36][kPitch tiles][lanes]    transformed inputs of a chunk's tiles
//   U [output block][36][input channel][lanes]    transformed weights
//   M [output block][36][kPitch tiles][lanes]   products
// Strides in V and M are constants, so that the 36 places of a tile need no registers; the odd pitch spreads them over the sets of a cache.
#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_winograd4_f32);

namespace KONV_ISA {
namespace {

constexpr std::int64_t kPoints = 36, kTile = 4;
constexpr std::int64_t kMostTiles = 28, kPitch = kMostTiles + 1;             ///< of a chunk
constexpr std::int64_t kPoint = kPitch * kLanes, kPlane = kPoints * kPoint;  ///< floats from point to point, from block to block

struct Tiling {
  std::int64_t rows, columns;  ///< tiles of an image
  std::int64_t in_blocks, out_blocks;
  std::int64_t tiles;        ///< of a chunk, from any images
  std::int64_t together;     ///< output blocks of one product
  std::int64_t part_blocks;  ///< output blocks of a chunk
  std::int64_t tile_chunks, parts;
};

Tiling tiling(const ConvShape& s) {
  Tiling t;
  t.rows = ceil_div(s.out_h(), kTile);
  t.columns = ceil_div(s.out_w(), kTile);
  t.in_blocks = ceil_div(s.in_channels, kLanes);
  t.out_blocks = ceil_div(s.out_channels, kLanes);
  const std::int64_t all = s.batch * t.rows * t.columns, in = t.in_blocks * kLanes, out = t.out_blocks * kLanes;
  const std::int64_t work = kPoints * in * out + 156 * in + 116 * out;  // of one tile; the transforms by their additions
  constexpr std::int64_t most_floats = 64 << 10;                        // V stays in L2
  const std::int64_t most = larger(8, most_floats / (kPoints * in));
  const std::int64_t wanted = smaller(larger(1, all), clamped(kChunkMacs / work, smaller(kMostTiles, most), smaller(kMostTiles, most)));
  // Chunks for several threads, an even number of them: fewer tiles each, but not fewer than 8, then fewer output blocks, which transform the input again.
  const std::int64_t chunks = all * work > 300'000 ? 4 : all * work > 120'000 ? 2 : 1;
  t.tile_chunks = larger(ceil_div(larger(1, all), wanted), smaller(chunks, all / 8));
  if (t.tile_chunks > 1) t.tile_chunks += t.tile_chunks % 2;
  t.tiles = ceil_div(larger(1, all), t.tile_chunks);
  t.tile_chunks = ceil_div(larger(1, all), t.tiles);
  t.together = blocks_together(t.tiles, t.out_blocks);
  t.part_blocks = t.out_blocks;
  if (t.tile_chunks < chunks && t.out_blocks > 2) {
    const std::int64_t pairs = ceil_div(t.out_blocks, 2);
    t.part_blocks = 2 * ceil_div(pairs, smaller(pairs, ceil_div(chunks, t.tile_chunks)));
    t.together = smaller(t.together, t.part_blocks);
  }
  t.parts = ceil_div(t.out_blocks, t.part_blocks);
  return t;
}

inline __attribute__((always_inline)) void transform_input_line(const Vector (&d)[6], Vector (&t)[6]) {
  const Vector a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1], c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
  t[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
  t[1] = a + b;
  t[2] = a - b;
  t[3] = c + e;
  t[4] = c - e;
  t[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

/// 6x6 pixels of one block of channels.
void transform_input(const float* in, std::int64_t row, float* v) {
  Vector lines[6][6];
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) {
    Vector d[6];
#pragma GCC unroll 6
    for (int j = 0; j < 6; ++j) d[j] = load(in + i * row + j * kLanes);
    transform_input_line(d, lines[i]);
  }
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    const Vector d[6] = {lines[0][j], lines[1][j], lines[2][j], lines[3][j], lines[4][j], lines[5][j]};
    Vector t[6];
    transform_input_line(d, t);
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) store(v + (i * 6 + j) * kPoint, t[i]);
  }
}

inline __attribute__((always_inline)) void transform_output_line(const Vector (&m)[6], Vector (&y)[4]) {
  const Vector p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], w = m[3] - m[4];
  y[0] = m[0] + p + r;
  y[1] = q + 2.0f * w;
  y[2] = p + 4.0f * r;
  y[3] = m[5] + q + 8.0f * w;
}

/// 36 products to four rows of six, of which transform_output_line() makes sums.
inline __attribute__((always_inline)) void transform_columns(const float* m, Vector (&lines)[4][6]) {
#pragma GCC unroll 6
  for (int j = 0; j < 6; ++j) {
    Vector d[6], t[4];
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) d[i] = load(m + (i * 6 + j) * kPoint);
    transform_output_line(d, t);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) lines[i][j] = t[i];
  }
}

template <int Width, int Blocks>
void multiply(const Walk& walk, const float* v, const float* u, float* m) {
  Sums<Width, Blocks> sums;
  accumulate<Width, Blocks, 1, kLanes>(walk, v, u, sums);
#pragma GCC unroll 4
  for (int b = 0; b < Blocks; ++b) {
#pragma GCC unroll 16
    for (int t = 0; t < Width; ++t) store(m + b * kPlane + t * kLanes, sums.at[b][t]);
  }
}

using MultiplyFunction = void (*)(const Walk&, const float*, const float*, float*);

template <int Blocks, int... Widths>
MultiplyFunction multiply_of(WidthList<Widths...>, int width) {
  MultiplyFunction found = nullptr;
  ((found = width == Widths ? &multiply<Widths, Blocks> : found), ...);
  return found;
}

/// M of `Blocks` output blocks: every point's product, tiles in the width that wastes least.
template <int Blocks>
void products(const Tiling& t, std::int64_t tiles, const float* v, const float* u, float* m) {
  const std::int64_t u_point = t.in_blocks * kLanes * kLanes;
  const Walk walk{t.in_blocks, kPlane, 1, 1, 0, 0, kPoints * u_point};
  using List = typename TileWidths<Blocks>::List;
  const int width = best_width(List{}, tiles);
  const MultiplyFunction run = multiply_of<Blocks>(List{}, width);
  for (std::int64_t p = 0; p < kPoints; ++p) {
    for (std::int64_t begin = 0; begin < tiles; begin += width) {
      const std::int64_t first = smaller(begin, tiles - width) * kLanes;
      run(walk, v + p * kPoint + first, u + p * u_point, m + p * kPoint + first);
    }
  }
}

/// Where a tile's first output pixel lies. Tiles are counted along the rows, then down, then through the images.
struct TilePlace {
  std::int64_t n, y, x;

  void next(const Tiling& t) {  // steps, since a division takes as long as the transform of a tile
    if ((x += kTile) < t.columns * kTile) return;
    x = 0;
    if ((y += kTile) < t.rows * kTile) return;
    y = 0;
    ++n;
  }
};

TilePlace place(const Tiling& t, std::int64_t tile) {
  const std::int64_t in_image = tile % (t.rows * t.columns);
  return {tile / (t.rows * t.columns), in_image / t.columns * kTile, in_image % t.columns * kTile};
}

void transform_inputs(const ConvArgs& args, const Tiling& t, Range tiles, float* v) {
  const ConvShape& s = args.shape;
  const TensorView& in = args.in;
  TilePlace at = place(t, tiles.begin);
  for (std::int64_t i = tiles.begin; i < tiles.end; ++i, at.next(t), v += kLanes) {
    const float* from = in.f32() + at.n * in.strides[0] + (at.y - s.pad_top) * in.strides[2] + (at.x - s.pad_left) * kLanes;
    for (std::int64_t block = 0; block < t.in_blocks; ++block)
      transform_input(from + block * in.strides[1], in.strides[2], v + block * kPlane);
  }
}

/// Bias, residual and ReLU of `columns` pixels of a row, from its line of products.
inline __attribute__((always_inline)) void finish_line(const Vector (&line)[6], Vector bias, const float* add, bool is_relu, float* to,
                                                       std::int64_t columns) {
  Vector y[4];
  transform_output_line(line, y);
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    if (c >= columns) break;
    Vector x = y[c] + bias;
    if (add) x += load(add + c * kLanes);
    if (is_relu) x = relu(x);
    store(to + c * kLanes, x);
  }
}

/// One output block: sums, bias, residual and activation of every tile, cut off at the image's edge.
void transform_outputs(const ConvArgs& args, const Tiling& t, Range tiles, std::int64_t block, const float* m) {
  const ConvShape& s = args.shape;
  const TensorView &out = args.out, &residual = args.residual;
  const std::int64_t channels = s.out_channels - block * kLanes, width = s.out_w(), height = s.out_h();
  const bool is_relu = args.activation.kind == ActivationKind::relu, simple = is_relu || args.activation.kind == ActivationKind::none;
  float padded_bias[kLanes] = {};
  if (args.bias) {
    for (std::int64_t i = 0; i < smaller(channels, kLanes); ++i) padded_bias[i] = args.bias[block * kLanes + i];
  }
  const Vector bias = load(padded_bias);
  TilePlace at = place(t, tiles.begin);
  for (std::int64_t i = tiles.begin; i < tiles.end; ++i, at.next(t), m += kLanes) {
    Vector lines[4][6];
    transform_columns(m, lines);
    float* to = out.f32() + at.n * out.strides[0] + block * out.strides[1] + at.y * out.strides[2] + at.x * kLanes;
    const float* add = residual.data ? residual.f32() + at.n * residual.strides[0] + block * residual.strides[1] +
                                           at.y * residual.strides[2] + at.x * kLanes
                                     : nullptr;
    const std::int64_t rows = smaller(kTile, height - at.y), columns = smaller(kTile, width - at.x);
    if (rows == kTile && columns == kTile && simple) {
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        finish_line(lines[r], bias, add ? add + r * residual.strides[2] : nullptr, is_relu, to + r * out.strides[2], kTile);
      }
      continue;
    }
    for (int r = 0; r < rows; ++r) {
      float* row = to + r * out.strides[2];
      finish_line(lines[r], bias, add ? add + r * residual.strides[2] : nullptr, is_relu, row, columns);
      if (!simple) activate_blocked(args.activation, row, columns, channels);
    }
  }
}

std::int64_t chunks(const ConvShape& s) {
  const Tiling t = tiling(s);
  return t.tile_chunks * t.parts;
}

std::size_t workspace(const ConvShape& s) {
  const Tiling t = tiling(s);
  return static_cast<std::size_t>(kPlane * (t.in_blocks + t.together)) * sizeof(float);
}

void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const Tiling t = tiling(s);
  const Range tiles = piece(s.batch * t.rows * t.columns, t.tiles, chunk / t.parts);
  const Range blocks = piece(t.out_blocks, t.part_blocks, chunk % t.parts);
  float* v = static_cast<float*>(workspace);
  float* m = v + t.in_blocks * kPlane;
  transform_inputs(args, t, tiles, v);
  const std::int64_t u_block = kPoints * t.in_blocks * kLanes * kLanes;
  for (std::int64_t b = blocks.begin; b < blocks.end;) {
    const float* u = static_cast<const float*>(args.weight) + b * u_block;
    const std::int64_t left = smaller(blocks.end - b, t.together), now = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    if (now == 4) {
      products<4>(t, tiles.size(), v, u, m);
    } else if (now == 2) {
      products<2>(t, tiles.size(), v, u, m);
    } else {
      products<1>(t, tiles.size(), v, u, m);
    }
    for (std::int64_t i = 0; i < now; ++i) transform_outputs(args, t, tiles, b + i, m + i * kPlane);
    b += now;
  }
}

std::size_t packed_bytes(const ConvShape& s) {
  return static_cast<std::size_t>(kPoints * round_up(s.in_channels, kLanes) * round_up(s.out_channels, kLanes)) * sizeof(float);
}

/// G g G^T in double, rounded once.
void pack(const ConvShape& s, const float* weight, void* packed) {
  constexpr double G[6][3] = {{0.25, 0, 0},
                              {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                              {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                              {1.0 / 24, 1.0 / 12, 1.0 / 6},
                              {1.0 / 24, -1.0 / 12, 1.0 / 6},
                              {0, 0, 1}};
  float* to = static_cast<float*>(packed);
  const std::int64_t in = round_up(s.in_channels, kLanes);
  std::memset(to, 0, packed_bytes(s));
  for (std::int64_t o = 0; o < s.out_channels; ++o) {
    for (std::int64_t c = 0; c < s.in_channels; ++c) {
      const float* g = weight + (o * s.in_channels + c) * 9;
      double half[6][3];
      for (int i = 0; i < 6; ++i) {
        for (int k = 0; k < 3; ++k) half[i][k] = G[i][0] * g[k] + G[i][1] * g[3 + k] + G[i][2] * g[6 + k];
      }
      float* at = to + (o / kLanes * kPoints * in + c) * kLanes + o % kLanes;
      for (int i = 0; i < 6; ++i) {
        for (int j = 0; j < 6; ++j) {
          at[(i * 6 + j) * in * kLanes] = static_cast<float>(half[i][0] * G[j][0] + half[i][1] * G[j][1] + half[i][2] * G[j][2]);
        }
      }
    }
  }
}

/// Whole tiles are read, also where they reach beyond the last output pixel.
Halo halo(const ConvShape& s) {
  const auto after = [](std::int64_t size, std::int64_t out, std::int64_t before) {
    return static_cast<int>(larger(0, round_up(out, kTile) + 2 - before - size));
  };
  return {static_cast<int>(s.pad_top), static_cast<int>(s.pad_left), after(s.in_h, s.out_h(), s.pad_top),
          after(s.in_w, s.out_w(), s.pad_left)};
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_winograd4_f32) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run},
                                                    KONV_ISA::kLanes,
                                                    KONV_ISA::kLanes,
                                                    KONV_ISA::halo,
                                                    KONV_ISA::packed_bytes,
                                                    KONV_ISA::pack};

}  // namespace konv
