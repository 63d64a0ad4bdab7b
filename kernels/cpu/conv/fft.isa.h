// Convolution by the discrete Fourier transform on blocked images, for large dense kernels: overlapping tiles of 16x16 pixels (overlap-save; Mathieu,
// Henaff and LeCun, "Fast Training of Convolutional Networks through FFTs", 2013). A tile of real pixels becomes 16x9 complex numbers per channel, each
// of the 144 is a complex matrix product over the channels, and the inverse transform gives (17 - KH) x (17 - KW) output pixels.
//   V [input block][144][re, im][kPitch tiles][lanes]    transformed inputs of a chunk's tiles
//   U [output block][144][input channel][re, im][lanes]    transformed weights: conjugated, since convolution here is correlation, and scaled
//   M [144][re, im][kPitch tiles][lanes]    products of one output block
// Transforms run on vectors of channels, so none of them shuffles.
#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_fft16_f32);

namespace KONV_ISA {
namespace {

constexpr std::int64_t kSize = 16, kColumns = kSize / 2 + 1, kPoints = kSize * kColumns;
constexpr std::int64_t kMostTiles = 12, kPitch = kMostTiles + 1;  ///< of a chunk
constexpr std::int64_t kPart = kPitch * kLanes, kPoint = 2 * kPart,
                       kPlane = kPoints * kPoint;  ///< floats from re to im, point to point, block to block

struct Tiling {
  std::int64_t tile_h, tile_w;  ///< output pixels of a tile
  std::int64_t rows, columns;   ///< tiles of an image
  std::int64_t in_blocks, out_blocks;
  std::int64_t tiles;        ///< of a chunk, from any images
  std::int64_t part_blocks;  ///< output blocks of a chunk
  std::int64_t tile_chunks, parts;
};

Tiling tiling(const ConvShape& s) {
  Tiling t;
  t.tile_h = kSize + 1 - s.kernel_h;
  t.tile_w = kSize + 1 - s.kernel_w;
  t.rows = ceil_div(s.out_h(), t.tile_h);
  t.columns = ceil_div(s.out_w(), t.tile_w);
  t.in_blocks = ceil_div(s.in_channels, kLanes);
  t.out_blocks = ceil_div(s.out_channels, kLanes);
  const std::int64_t all = larger(1, s.batch * t.rows * t.columns);
  constexpr std::int64_t most_floats = 192 << 10;  // V and M stay in L2
  const std::int64_t most = clamped(most_floats / (kPoints * 2 * kLanes * (t.in_blocks + 1)), 1, kMostTiles);
  t.tile_chunks = larger(ceil_div(all, most), smaller(4, all));
  t.tiles = ceil_div(all, t.tile_chunks);
  t.tile_chunks = ceil_div(all, t.tiles);
  t.part_blocks = ceil_div(t.out_blocks, smaller(t.out_blocks, ceil_div(4, t.tile_chunks)));  // each part transforms the input again
  t.parts = ceil_div(t.out_blocks, t.part_blocks);
  return t;
}

inline __attribute__((always_inline)) void butterfly(Vector (&re)[4], Vector (&im)[4]) {
  const Vector sr = re[0] + re[2], si = im[0] + im[2], dr = re[0] - re[2], di = im[0] - im[2];
  const Vector tr = re[1] + re[3], ti = im[1] + im[3], er = re[1] - re[3], ei = im[1] - im[3];
  re[0] = sr + tr, im[0] = si + ti;
  re[1] = dr + ei, im[1] = di - er;  // minus i times the difference
  re[2] = sr - tr, im[2] = si - ti;
  re[3] = dr - ei, im[3] = di + er;
}

/// The transform X[k] = sum over n of x[n] exp(-2 pi i n k / 16), in place. With re and im exchanged it is 16 times the inverse.
void fft16(Vector (&re)[16], Vector (&im)[16]) {
  // cos and sin of 2 pi j / 16
  constexpr float kCos[10] = {1, 0.92387953f, 0.70710678f, 0.38268343f, 0, -0.38268343f, -0.70710678f, -0.92387953f, -1, -0.92387953f};
  constexpr float kSin[10] = {0, 0.38268343f, 0.70710678f, 0.92387953f, 1, 0.92387953f, 0.70710678f, 0.38268343f, 0, -0.38268343f};
#pragma GCC unroll 4
  for (int n = 0; n < 4; ++n) {
    Vector a[4] = {re[n], re[n + 4], re[n + 8], re[n + 12]}, b[4] = {im[n], im[n + 4], im[n + 8], im[n + 12]};
    butterfly(a, b);
    re[n] = a[0], im[n] = b[0];
#pragma GCC unroll 4
    for (int k = 1; k < 4; ++k) {
      const float c = kCos[n * k], s = kSin[n * k];
      re[n + 4 * k] = n == 0 ? a[k] : a[k] * c + b[k] * s;
      im[n + 4 * k] = n == 0 ? b[k] : b[k] * c - a[k] * s;
    }
  }
  Vector out_re[16], out_im[16];
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    Vector a[4] = {re[4 * k], re[4 * k + 1], re[4 * k + 2], re[4 * k + 3]}, b[4] = {im[4 * k], im[4 * k + 1], im[4 * k + 2], im[4 * k + 3]};
    butterfly(a, b);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) out_re[k + 4 * j] = a[j], out_im[k + 4 * j] = b[j];
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) re[i] = out_re[i], im[i] = out_im[i];
}

/// Rows of a tile on the way between the transforms: [16][9] complex.
struct Spectrum {
  Vector re[kSize][kColumns], im[kSize][kColumns];
};

/// 16x16 pixels of one block of channels to V.
void transform_input(const float* in, std::int64_t row, float* v) {
  Spectrum s;
  for (int y = 0; y < kSize; y += 2) {  // two real rows as one complex row
    Vector re[16], im[16];
#pragma GCC unroll 16
    for (int x = 0; x < 16; ++x) re[x] = load(in + y * row + x * kLanes), im[x] = load(in + (y + 1) * row + x * kLanes);
    fft16(re, im);
    s.re[y][0] = re[0], s.im[y][0] = Vector{};
    s.re[y + 1][0] = im[0], s.im[y + 1][0] = Vector{};
#pragma GCC unroll 8
    for (int k = 1; k < kColumns; ++k) {
      s.re[y][k] = 0.5f * (re[k] + re[16 - k]), s.im[y][k] = 0.5f * (im[k] - im[16 - k]);
      s.re[y + 1][k] = 0.5f * (im[k] + im[16 - k]), s.im[y + 1][k] = 0.5f * (re[16 - k] - re[k]);
    }
  }
  for (int k = 0; k < kColumns; ++k) {
    Vector re[16], im[16];
#pragma GCC unroll 16
    for (int y = 0; y < 16; ++y) re[y] = s.re[y][k], im[y] = s.im[y][k];
    fft16(re, im);
#pragma GCC unroll 16
    for (int y = 0; y < 16; ++y) {
      store(v + (k * kSize + y) * kPoint, re[y]);
      store(v + (k * kSize + y) * kPoint + kPart, im[y]);
    }
  }
}

/// The first `rows` rows of a tile's 16x16 sums from M; `rows` is rounded up to even.
void transform_output(const float* m, std::int64_t rows, Vector (&out)[kSize][kSize]) {
  Spectrum s;
  for (int k = 0; k < kColumns; ++k) {
    Vector re[16], im[16];
#pragma GCC unroll 16
    for (int y = 0; y < 16; ++y) re[y] = load(m + (k * kSize + y) * kPoint), im[y] = load(m + (k * kSize + y) * kPoint + kPart);
    fft16(im, re);
#pragma GCC unroll 16
    for (int y = 0; y < 16; ++y) s.re[y][k] = re[y], s.im[y][k] = im[y];
  }
  for (int y = 0; y < rows; y += 2) {  // row y is the real, row y + 1 the imaginary part of one inverse transform
    Vector re[16], im[16];
    re[0] = s.re[y][0] - s.im[y + 1][0], im[0] = s.im[y][0] + s.re[y + 1][0];
    re[8] = s.re[y][8] - s.im[y + 1][8], im[8] = s.im[y][8] + s.re[y + 1][8];
#pragma GCC unroll 8
    for (int k = 1; k < 8; ++k) {
      re[k] = s.re[y][k] - s.im[y + 1][k], im[k] = s.im[y][k] + s.re[y + 1][k];
      re[16 - k] = s.re[y][k] + s.im[y + 1][k], im[16 - k] = s.re[y + 1][k] - s.im[y][k];
    }
    fft16(im, re);
#pragma GCC unroll 16
    for (int x = 0; x < 16; ++x) out[y][x] = re[x], out[y + 1][x] = im[x];
  }
}

/// M of one point for `Width` tiles.
template <int Width>
void multiply(std::int64_t in_blocks, const float* v, const float* u, float* m) {
  Vector re[Width] = {}, im[Width] = {};
  for (std::int64_t block = 0; block < in_blocks; ++block, v += kPlane) {
    for (int c = 0; c < kLanes; ++c, u += 2 * kLanes) {
      const Vector ur = load(u), ui = load(u + kLanes);
#pragma GCC unroll 12
      for (int t = 0; t < Width; ++t) {
        const float vr = v[t * kLanes + c], vi = v[kPart + t * kLanes + c];
        re[t] += vr * ur;
        im[t] += vr * ui;
        re[t] -= vi * ui;
        im[t] += vi * ur;
      }
    }
  }
#pragma GCC unroll 12
  for (int t = 0; t < Width; ++t) store(m + t * kLanes, re[t]), store(m + kPart + t * kLanes, im[t]);
}

using MultiplyFunction = void (*)(std::int64_t, const float*, const float*, float*);

template <int... Widths>
MultiplyFunction multiply_of(WidthList<Widths...>, int width) {
  MultiplyFunction found = nullptr;
  ((found = width == Widths ? &multiply<Widths> : found), ...);
  return found;
}

#if defined(__AVX512F__) || defined(__aarch64__)
using Widths = WidthList<12, 8, 6, 4, 2, 1>;
#else
using Widths = WidthList<5, 4, 3, 2, 1>;
#endif

void products(const Tiling& t, std::int64_t tiles, const float* v, const float* u, float* m) {
  const int width = best_width(Widths{}, tiles);
  const MultiplyFunction run = multiply_of(Widths{}, width);
  for (std::int64_t p = 0; p < kPoints; ++p) {
    for (std::int64_t begin = 0; begin < tiles; begin += width) {
      const std::int64_t first = smaller(begin, tiles - width) * kLanes;
      run(t.in_blocks, v + p * kPoint + first, u + p * t.in_blocks * kLanes * 2 * kLanes, m + p * kPoint + first);
    }
  }
}

/// Where a tile's first output pixel lies. Tiles are counted along the rows, then down, then through the images.
struct TilePlace {
  std::int64_t n, y, x;

  void next(const Tiling& t) {
    if ((x += t.tile_w) < t.columns * t.tile_w) return;
    x = 0;
    if ((y += t.tile_h) < t.rows * t.tile_h) return;
    y = 0;
    ++n;
  }
};

TilePlace place(const Tiling& t, std::int64_t tile) {
  const std::int64_t in_image = tile % (t.rows * t.columns);
  return {tile / (t.rows * t.columns), in_image / t.columns * t.tile_h, in_image % t.columns * t.tile_w};
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

/// One output block: sums, bias, residual and activation of every tile, cut off at the image's edge.
void transform_outputs(const ConvArgs& args, const Tiling& t, Range tiles, std::int64_t block, const float* m) {
  const ConvShape& s = args.shape;
  const TensorView &out = args.out, &residual = args.residual;
  const std::int64_t channels = s.out_channels - block * kLanes, width = s.out_w(), height = s.out_h();
  const Bounds bounds(args.activation);
  const bool simple = Bounds::suffice(args.activation);
  const Vector bias = load(Biases<1>(args.bias, block * kLanes, s.out_channels).at);
  TilePlace at = place(t, tiles.begin);
  for (std::int64_t i = tiles.begin; i < tiles.end; ++i, at.next(t), m += kLanes) {
    const std::int64_t rows = smaller(t.tile_h, height - at.y), columns = smaller(t.tile_w, width - at.x);
    Vector sums[kSize][kSize];
    transform_output(m, rows, sums);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* to = out.f32() + at.n * out.strides[0] + block * out.strides[1] + (at.y + r) * out.strides[2] + at.x * kLanes;
      const float* add = residual.data ? residual.f32() + at.n * residual.strides[0] + block * residual.strides[1] +
                                             (at.y + r) * residual.strides[2] + at.x * kLanes
                                       : nullptr;
      for (std::int64_t c = 0; c < columns; ++c) {
        Vector x = sums[r][c] + bias;
        if (add) x += load(add + c * kLanes);
        x = bounds.apply(x);
        store(to + c * kLanes, x);
      }
      if (!simple) activate_blocked(args.activation, to, columns, channels);
    }
  }
}

std::int64_t chunks(const ConvShape& s) {
  const Tiling t = tiling(s);
  return t.tile_chunks * t.parts;
}

std::size_t workspace(const ConvShape& s) { return static_cast<std::size_t>(kPlane * (tiling(s).in_blocks + 1)) * sizeof(float); }

void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const Tiling t = tiling(s);
  const Range tiles = piece(s.batch * t.rows * t.columns, t.tiles, chunk / t.parts);
  const Range blocks = piece(t.out_blocks, t.part_blocks, chunk % t.parts);
  float* v = static_cast<float*>(workspace);
  float* m = v + t.in_blocks * kPlane;
  transform_inputs(args, t, tiles, v);
  for (std::int64_t b = blocks.begin; b < blocks.end; ++b) {
    products(t, tiles.size(), v, static_cast<const float*>(args.weight) + b * kPoints * t.in_blocks * kLanes * 2 * kLanes, m);
    transform_outputs(args, t, tiles, b, m);
  }
}

std::size_t packed_bytes(const ConvShape& s) {
  return static_cast<std::size_t>(kPoints * 2 * round_up(s.in_channels, kLanes) * round_up(s.out_channels, kLanes)) * sizeof(float);
}

/// The conjugated transform of every kernel in double, divided by 256 and rounded once.
void pack(const ConvShape& s, const float* weight, void* packed) {
  double cosine[16], sine[16];
  for (int i = 0; i < 16; ++i) {
    cosine[i] = __builtin_cos(2 * 3.14159265358979323846 * i / 16);
    sine[i] = __builtin_sin(2 * 3.14159265358979323846 * i / 16);
  }
  float* to = static_cast<float*>(packed);
  const std::int64_t in = round_up(s.in_channels, kLanes);
  std::memset(to, 0, packed_bytes(s));
  for (std::int64_t o = 0; o < s.out_channels; ++o) {
    for (std::int64_t c = 0; c < s.in_channels; ++c) {
      const float* g = weight + (o * s.in_channels + c) * s.kernel_h * s.kernel_w;
      float* at = to + (o / kLanes * kPoints * in + c) * 2 * kLanes + o % kLanes;
      double re[kSize][kColumns], im[kSize][kColumns];  // rows of the kernel, transformed
      for (std::int64_t y = 0; y < s.kernel_h; ++y) {
        for (std::int64_t k = 0; k < kColumns; ++k) {
          re[y][k] = im[y][k] = 0;
          for (std::int64_t x = 0; x < s.kernel_w; ++x) {
            re[y][k] += g[y * s.kernel_w + x] * cosine[x * k % 16];
            im[y][k] += g[y * s.kernel_w + x] * sine[x * k % 16];
          }
        }
      }
      for (std::int64_t k = 0; k < kColumns; ++k) {
        for (std::int64_t j = 0; j < kSize; ++j) {
          double r = 0, i = 0;
          for (std::int64_t y = 0; y < s.kernel_h; ++y) {
            r += re[y][k] * cosine[y * j % 16] - im[y][k] * sine[y * j % 16];
            i += re[y][k] * sine[y * j % 16] + im[y][k] * cosine[y * j % 16];
          }
          at[(k * kSize + j) * in * 2 * kLanes] = static_cast<float>(r / 256);
          at[(k * kSize + j) * in * 2 * kLanes + kLanes] = static_cast<float>(i / 256);
        }
      }
    }
  }
}

/// Whole tiles are read, also where they reach beyond the last output pixel.
Halo halo(const ConvShape& s) {
  const Tiling t = tiling(s);
  const auto after = [](std::int64_t size, std::int64_t tiles, std::int64_t tile, std::int64_t before) {
    return static_cast<int>(larger(0, (tiles - 1) * tile + kSize - before - size));
  };
  return {static_cast<int>(s.pad_top), static_cast<int>(s.pad_left), after(s.in_h, t.rows, t.tile_h, s.pad_top),
          after(s.in_w, t.columns, t.tile_w, s.pad_left)};
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_fft16_f32) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run},
                                                KONV_ISA::kLanes,
                                                KONV_ISA::kLanes,
                                                KONV_ISA::halo,
                                                KONV_ISA::packed_bytes,
                                                KONV_ISA::pack};

}  // namespace konv
