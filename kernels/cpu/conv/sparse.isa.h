// 1x1 convolution whose weights are mostly zero, wherever they are: each weight that is not is multiplied with a run of pixels. Plain images.
// A chunk is some rows for some output channels; tile by tile, all input channels are gathered side by side, since a run of pixels of the image itself
// is on another page for every channel.
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_sparse_f32);

namespace KONV_ISA {
namespace {

struct Entry {
  std::int32_t channel;
  float weight;
};

constexpr int kVectors = 4, kTile = kVectors * kLanes;  // pixels that are summed together

/// Parts that the output channels are cut into where there are few tiles; each gathers the pixels again, which takes longer than the sums of few channels.
std::int64_t parts(const ConvShape& s) {
  const std::int64_t tiles = s.batch * ((s.out_pixels() + kTile - 1) / kTile);
  return clamped(smaller(8 / larger(1, tiles), s.out_channels / 64), 1, 4);
}

PlaneTiles tiles(const ConvShape& s) {
  const std::int64_t per_pixel = larger(1, s.nonzeros / parts(s));
  return tile_planes(s.batch * parts(s), s.out_h(), s.out_w() * per_pixel, larger(2 * kChunkMacs, kTile * per_pixel));
}

std::int64_t chunks(const ConvShape& s) { return tiles(s).count(); }

/// A tile of all input channels, then the sums of one output channel.
std::size_t workspace(const ConvShape& s) { return static_cast<std::size_t>((s.in_channels + 1) * kTile) * sizeof(float); }

/// A run of pixels of one image: where it begins in the tile and in the tensors.
struct Piece {
  std::int64_t at, count;
  std::int64_t in, out, residual;
};

/// Where pixels [begin, end) of an image lie, row by row, or all together where no tensor has gaps between rows.
std::int64_t pieces_of(const ConvArgs& args, Range pixels, Piece* pieces) {
  const std::int64_t width = args.shape.out_w();
  const auto no_gaps = [&](const TensorView& v) { return !v.data || v.strides[2] == width * v.strides[3]; };
  const bool one_row = no_gaps(args.in) && no_gaps(args.out) && no_gaps(args.residual);
  const auto offset = [&](const TensorView& v, std::int64_t p) { return p / width * v.strides[2] + p % width * v.strides[3]; };
  std::int64_t count = 0;
  for (std::int64_t p = pixels.begin; p < pixels.end;) {
    const std::int64_t length = one_row ? pixels.size() : smaller(pixels.end - p, width - p % width);
    pieces[count++] = {p - pixels.begin, length, offset(args.in, p), offset(args.out, p), offset(args.residual, p)};
    p += length;
  }
  return count;
}

void gather(const ConvArgs& args, const float* image, const Piece* pieces, std::int64_t count, std::int64_t pixels, float* to) {
  const TensorView& in = args.in;
  const std::int64_t step = in.strides[3];
  for (std::int64_t c = 0; c < args.shape.in_channels; ++c, to += kTile) {
    for (std::int64_t i = 0; i < count; ++i) {
      const float* from = image + c * in.strides[1] + pieces[i].in;
      float* run = to + pieces[i].at;
      if (step == 1) {
        for (std::int64_t p = 0; p < pieces[i].count; ++p) run[p] = from[p];
      } else {
        for (std::int64_t p = 0; p < pieces[i].count; ++p) run[p] = from[p * step];
      }
    }
    for (std::int64_t p = pixels; p < kTile; ++p) to[p] = 0;
  }
}

/// One output channel. Two chains for each vector, since a multiply-add waits for the one before.
template <int Vectors>
void sum_tile(const Entry* entries, std::int64_t count, const float* tile, float* sums) {
  Vector even[Vectors] = {}, odd[Vectors] = {};
  std::int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    const float *a = tile + std::int64_t{entries[i].channel} * kTile, *b = tile + std::int64_t{entries[i + 1].channel} * kTile;
    const Vector wa = broadcast(entries[i].weight), wb = broadcast(entries[i + 1].weight);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      even[v] += wa * load(a + v * kLanes);
      odd[v] += wb * load(b + v * kLanes);
    }
  }
  if (i < count) {
    const float* a = tile + std::int64_t{entries[i].channel} * kTile;
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) even[v] += broadcast(entries[i].weight) * load(a + v * kLanes);
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) store(sums + v * kLanes, even[v] + odd[v]);
}

/// Some pixels, at most a tile, of image `n`.
void run_tile(const ConvArgs& args, std::int64_t n, Range pixels, Range channels, float* tile) {
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  constexpr auto kSums = [](std::int64_t vectors) {
    return vectors == 1 ? &sum_tile<1> : vectors == 2 ? &sum_tile<2> : vectors == 3 ? &sum_tile<3> : &sum_tile<4>;
  };
  const auto sum = kSums((pixels.size() + kLanes - 1) / kLanes);
  Piece pieces[kTile];
  const std::int64_t count = pieces_of(args, pixels, pieces);
  gather(args, in.f32() + n * in.strides[0], pieces, count, pixels.size(), tile);
  const auto* begin = static_cast<const std::int32_t*>(args.weight);
  const auto* entries = reinterpret_cast<const Entry*>(begin + round_up(args.shape.out_channels + 1, 2));
  float* sums = tile + args.shape.in_channels * kTile;
  for (std::int64_t o = channels.begin; o < channels.end; ++o) {
    sum(entries + begin[o], begin[o + 1] - begin[o], tile, sums);
    const float bias = args.bias ? args.bias[o] : 0.0f;
    float* plane = out.f32() + n * out.strides[0] + o * out.strides[1];
    const float* add = residual.data ? residual.f32() + n * residual.strides[0] + o * residual.strides[1] : nullptr;
    for (std::int64_t i = 0; i < count; ++i) {
      const Piece& p = pieces[i];
      float* to = plane + p.out;
      const float* add_run = add ? add + p.residual : nullptr;
      if (out.strides[3] == 1 && (!add || residual.strides[3] == 1)) {
        epilogue_row(sums + p.at, to, p.count, bias, add_run, args.activation);
      } else {
        epilogue_strided(sums + p.at, to, out.strides[3], p.count, bias, add_run, residual.strides[3], args.activation);
      }
    }
  }
}

void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * parts(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h(), t.rows_per_chunk, chunk % t.row_chunks);
  const Range pixels = {rows.begin * s.out_w(), rows.end * s.out_w()};
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const Range channels = piece(s.out_channels, ceil_div(s.out_channels, parts(s)), p % parts(s));
    for (std::int64_t first = pixels.begin; first < pixels.end; first += kTile)
      run_tile(args, p / parts(s), {first, smaller(first + kTile, pixels.end)}, channels, static_cast<float*>(workspace));
  }
}

std::size_t packed_bytes(const ConvShape& s) {
  return static_cast<std::size_t>(4 * round_up(s.out_channels + 1, 2) + s.nonzeros * static_cast<std::int64_t>(sizeof(Entry)));
}

/// Where each output channel's entries begin, the end of the last one, then the entries.
void pack(const ConvShape& s, const float* weight, void* packed) {
  auto* begin = static_cast<std::int32_t*>(packed);
  auto* entries = reinterpret_cast<Entry*>(begin + round_up(s.out_channels + 1, 2));
  std::int32_t count = 0;
  for (std::int64_t o = 0; o < s.out_channels; ++o) {
    begin[o] = count;
    for (std::int64_t c = 0; c < s.in_channels; ++c) {
      if (weight[o * s.in_channels + c] != 0) entries[count++] = {static_cast<std::int32_t>(c), weight[o * s.in_channels + c]};
    }
  }
  begin[s.out_channels] = count;
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_sparse_f32) = {
    {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run}, 1, 1, nullptr, KONV_ISA::packed_bytes, KONV_ISA::pack};

}  // namespace konv
