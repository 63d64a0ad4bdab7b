// The end of a tile of sums: through shared memory, so that pixels are written in whole sectors, with bias, residual and activation on the way.
#pragma once

#include "kernels/cuda/activate.h"
#include "kernels/cuda/params.h"

namespace konv::cuda {

KONV_DEVICE void load4(const float* p, float (&x)[4]) { load_chunk(p, x); }
KONV_DEVICE void load4(const Half* p, float (&x)[4]) {
  const Pair pair = load(reinterpret_cast<const Pair*>(p));
  for (int i = 0; i < 4; ++i) x[i] = to_float(Half{static_cast<std::uint16_t>(pair.words[i / 2] >> (16 * (i % 2)))});
}
KONV_DEVICE void store4(float* p, const float (&x)[4]) { store_chunk(p, x); }
KONV_DEVICE void store4(Half* p, const float (&x)[4]) {
  store(reinterpret_cast<Pair*>(p), Pair{{pack_halves(x[0], x[1]), pack_halves(x[2], x[3])}});
}

/// Byte of (row, channel) in a tile of float32 sums with `columns` channels. Groups of 8 channels (32 bytes) change places from row to row, so that both a
/// fragment's 4 rows x 8 channels and a row's neighbouring groups of 4 fall into different banks.
template <int columns>
KONV_DEVICE int sum_offset(int row, int channel) {
  const int group = channel / 8;
  const int place = columns == 16 ? group ^ (row >> 1 & 1) : group ^ ((row & 1) << 1 | (row >> 1 & 1));
  return row * columns * 4 + place * 32 + channel % 8 * 4;
}

/// Writes the sums of one warp's 16 x 8 fragment (see mma) at (row, channel).
template <int columns>
KONV_DEVICE void stage_fragment(unsigned char* tile, const float (&c)[4], int row, int channel) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int i = 0; i < 2; ++i)
    store_shared(tile + sum_offset<columns>(row + lane / 4 + 8 * i, channel + lane % 4 * 2),
                 Pair{{as_bits(c[2 * i]), as_bits(c[2 * i + 1])}});
}

/// Writes a staged tile of rows x columns to the output. `pixel_of(row)` is the output pixel or negative; `first` the tile's first channel.
template <class T, int rows, int columns, int threads, class PixelOf>
KONV_DEVICE void store_tile(const unsigned char* tile, const ConvGeometry& g, void* out, const Epilogue& e, int first,
                            const PixelOf& pixel_of) {
  constexpr int kQuads = columns / 4;
  for (int i = static_cast<int>(threadIdx.x); i < rows * kQuads; i += threads) {
    const int row = i / kQuads, channel = first + i % kQuads * 4;
    const std::int64_t pixel = pixel_of(row);
    if (pixel < 0 || channel >= g.out_pitch) continue;
    float sum[4], bias[4] = {}, residual[4] = {};
    unpack(load_shared<Chunk>(tile + sum_offset<columns>(row, i % kQuads * 4)), sum, float{});
    const std::int64_t at = pixel * g.out_pitch + channel;
    if (e.bias) load4(e.bias + channel, bias);
    if (e.residual) load4(static_cast<const T*>(e.residual) + at, residual);
    for (int j = 0; j < 4; ++j) sum[j] = channel + j < g.out_channels ? activate(e.activation, sum[j] + bias[j] + residual[j]) : 0.0f;
    store4(static_cast<T*>(out) + at, sum);
  }
}

}  // namespace konv::cuda
