// Direct convolution on blocked images with pruned rows: walks only the K rows (one input channel of one tap) that some output channel reads.
#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/rows.h"
#include "kernels/cpu/kept.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_kept_f32);

namespace KONV_ISA {
namespace {

/// Chunks: some output rows of one image (or all of several) for one group of output blocks.
struct Tiles {
  std::int64_t blocks, parts;  ///< output blocks; chunks that they are cut into
  int together;                ///< output blocks of a chunk
  PlaneTiles planes;
};

Tiles tiles(const ConvShape& s) {
  Tiles t;
  t.blocks = ceil_div(s.out_channels, kLanes);
  t.together = blocks_together(s.out_w(), t.blocks);
  t.parts = ceil_div(t.blocks, t.together);
  t.planes = tile_planes(s.batch * t.parts, s.out_h(), s.out_w() * larger(1, s.kept_rows) * t.together * kLanes, kChunkMacs);
  return t;
}

/// Where a tile reads (distances from a pixel's first float), and the weights of the rows it reads there, [output block][row][kLanes].
struct Rows {
  const std::int32_t* offsets;
  std::int64_t count;
  const float* weight;
};

template <int Pixels, int Blocks, int Step>
void tile(const Rows& rows, const float* in, const float* weight, const Finish& f, float* out, const float* residual) {
  Sums<Pixels, Blocks> sums;
  start(f.bias, sums.at);
  const std::int64_t weight_block = rows.count * kLanes;
  for (std::int64_t i = 0; i < rows.count; ++i, weight += kLanes) {
    const float* x = in + rows.offsets[i];
    Vector w[Blocks];
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; ++b) w[b] = load(weight + b * weight_block);
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
#pragma GCC unroll 4
      for (int b = 0; b < Blocks; ++b) sums.at[b][p] += x[p * Step * kLanes] * w[b];
    }
  }
  finish(f, sums, out, residual);
}

using TileFunction = void (*)(const Rows&, const float*, const float*, const Finish&, float*, const float*);

template <int Blocks, int Step, int... Widths>
TileFunction tile_of(WidthList<Widths...>, int width) {
  TileFunction found = nullptr;
  ((found = width == Widths ? &tile<Widths, Blocks, Step> : found), ...);
  return found;
}

/// Output rows of image `n` for `Blocks` output blocks from `block` on.
template <int Blocks, int Step>
void run_rows(const ConvArgs& args, const Rows& rows, std::int64_t n, std::int64_t block, Range range) {
  const ConvShape& s = args.shape;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  const std::int64_t channels = s.out_channels - block * kLanes, width = s.out_w();
  const Biases<Blocks> bias(args.bias, block * kLanes, s.out_channels);
  const Finish f{bias.at, out.strides[1], residual.strides[1], channels, &args.activation};
  using List = typename TileWidths<Blocks>::List;
  const int tile_width = best_width(List{}, width);
  const TileFunction run = tile_of<Blocks, Step>(List{}, tile_width);
  const float* from = in.f32() + n * in.strides[0] - s.pad_top * in.strides[2] - s.pad_left * in.strides[3];
  const float* weight = rows.weight + block * rows.count * kLanes;
  float* to = out.f32() + n * out.strides[0] + block * out.strides[1];
  const float* add = residual.data ? residual.f32() + n * residual.strides[0] + block * residual.strides[1] : nullptr;
  for (std::int64_t y = range.begin; y < range.end; ++y) {
    const float* from_row = from + y * s.stride_h * in.strides[2];
    for (std::int64_t begin = 0; begin < width; begin += tile_width) {
      const std::int64_t x = smaller(begin, width - tile_width);
      run(rows, from_row + x * Step * kLanes, weight, f, to + y * out.strides[2] + x * kLanes,
          add ? add + y * residual.strides[2] + x * kLanes : nullptr);
    }
  }
}

template <int Step>
void run_blocks(const ConvArgs& args, const Rows& rows, std::int64_t n, Range blocks, Range out_rows) {
  each_few_blocks(blocks, [&]<int Blocks>(std::int64_t first) { run_rows<Blocks, Step>(args, rows, n, first, out_rows); });
}

std::int64_t chunks(const ConvShape& s) { return tiles(s).planes.count(); }

std::size_t workspace(const ConvShape& s) { return static_cast<std::size_t>(s.kept_rows) * sizeof(std::int32_t); }

std::int64_t list_bytes(const ConvShape& s) { return round_up(s.kept_rows * static_cast<std::int64_t>(sizeof(KeptRow)), 64); }

void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const Tiles t = tiles(s);
  auto* offsets = static_cast<std::int32_t*>(workspace);
  write_offsets(static_cast<const KeptRow*>(args.weight), s.kept_rows, args.in, s.dilation_h, s.dilation_w, 1, offsets);
  const auto* weight = reinterpret_cast<const float*>(static_cast<const char*>(args.weight) + list_bytes(s));
  const Rows rows{offsets, s.kept_rows, weight};
  const Range planes = piece(s.batch * t.parts, t.planes.planes_per_chunk, chunk / t.planes.row_chunks);
  const Range out_rows = piece(s.out_h(), t.planes.rows_per_chunk, chunk % t.planes.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const Range blocks = piece(t.blocks, t.together, p % t.parts);
    if (s.stride_w == 1) {
      run_blocks<1>(args, rows, p / t.parts, blocks, out_rows);
    } else {
      run_blocks<2>(args, rows, p / t.parts, blocks, out_rows);
    }
  }
}

std::size_t packed_bytes(const ConvShape& s) {
  return static_cast<std::size_t>(list_bytes(s) + round_up(s.out_channels, kLanes) * s.kept_rows * 4);
}

/// The kept rows, counted as [input block][tap][lane], then their weights as Rows has them; channels that do not exist weigh nothing.
void pack(const ConvShape& s, const float* weight, void* packed) {
  auto* kept = static_cast<KeptRow*>(packed);
  const std::int64_t taps = s.kernel_h * s.kernel_w;
  std::int64_t count = 0;
  for (std::int64_t block = 0; block < ceil_div(s.in_channels, kLanes); ++block) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t lane = 0; lane < smaller(kLanes, s.in_channels - block * kLanes); ++lane) {
        if (!reads_row(s, weight, (block * kLanes + lane) * taps + tap)) continue;
        kept[count++] = {static_cast<std::int32_t>(block), static_cast<std::int16_t>(tap / s.kernel_w),
                         static_cast<std::int16_t>(tap % s.kernel_w), static_cast<std::int16_t>(lane), 0};
      }
    }
  }
  auto* to = reinterpret_cast<float*>(static_cast<char*>(packed) + list_bytes(s));
  for (std::int64_t o = 0; o < s.out_channels; o += kLanes) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t k = (kept[i].block * kLanes + kept[i].lane) * taps + kept[i].row * s.kernel_w + kept[i].column;
      for (std::int64_t lane = o; lane < o + kLanes; ++lane) *to++ = lane < s.out_channels ? weight[lane * s.k() + k] : 0.0f;
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_kept_f32) = {{KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run},
                                               KONV_ISA::kLanes,
                                               KONV_ISA::kLanes,
                                               padding_halo,
                                               KONV_ISA::packed_bytes,
                                               KONV_ISA::pack};

}  // namespace konv
