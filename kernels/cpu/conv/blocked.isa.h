// Direct convolution on blocked images ([N][C/16][H][W][16] with 16 lanes) whose padding is a physical halo, so that no loop knows an edge.
// Three entries: blocked input; blocked input and a 1x1 kernel, where rows without gaps are one long row; plain input (a network's first layer).
#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/taps.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_blocked_f32);
extern const ConvCode KONV_ISA_CODE(conv_first_f32);

namespace KONV_ISA {
namespace {

/// Chunks: some output rows of one image (or all of several) for one group of output blocks.
struct Tiles {
  std::int64_t groups, blocks_per_group;  ///< of the convolution; output blocks of each
  int together;                           ///< output blocks of a chunk
  std::int64_t parts;                     ///< chunks that a group's output blocks are cut into
  bool images_inside;                     ///< neighbouring chunks share weights rather than an image
  PlaneTiles planes;
};

bool is_pointwise(const ConvShape& s) { return s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1; }

/// Rows first, two equal halves of the image, where threads share one image whose weights all of them can hold and whose halves fill some tiles.
bool takes_rows_first(const ConvShape& s, const Tiles& t) {
  return s.batch == 1 && s.groups == 1 && t.parts > 1 && t.planes.count() > 1 && s.out_h() % 2 == 0 && s.out_pixels() >= 128 &&
         s.weight_count() * 4 <= kNearWeights / 2;
}

/// `alone`: all chunks are one thread's.
Tiles tiles(const ConvShape& s, bool alone) {
  Tiles t;
  t.groups = s.groups;
  t.blocks_per_group = ceil_div(s.group_out(), kLanes);
  t.together = blocks_together(is_pointwise(s) ? s.out_pixels() : s.out_w(), t.blocks_per_group);
  t.parts = ceil_div(t.blocks_per_group, t.together);
  t.images_inside = s.weight_count() > s.in_channels * s.in_h * s.in_w;
  // Small layers are still shared by a few threads, down to a microsecond each.
  const std::int64_t work = clamped(s.macs() / 4, kChunkMacs / 5, kChunkMacs);
  const std::int64_t row_work = s.out_w() * s.k() * t.together * kLanes;
  t.planes = tile_planes(s.batch * s.groups * t.parts, s.out_h(), row_work, work);
  if (!alone && takes_rows_first(s, t)) {
    const std::int64_t half = s.out_h() / 2, wanted = larger(1, quotient(work, row_work));
    std::int64_t rows = smaller(wanted, half);
    while (split(half, rows).rest > 0) --rows;
    t.planes = {clamped(quotient(wanted, half), 1, t.parts), rows, 0, quotient(s.out_h(), rows), true};
    t.planes.plane_chunks = ceil_div(t.parts, t.planes.planes_per_chunk);
  }
  return t;
}

constexpr int kPlainTaps = 3;

/// Plain images and kernel rows of three neighbours: for one output block accumulate_plain_rows() applies.
template <int InBlock>
bool has_plain_rows(const ConvShape& s) {
  return InBlock == 1 && s.kernel_w == kPlainTaps && s.dilation_w == 1;
}

/// What a tile is compiled for.
enum class Variant {
  plain,
  fetches,  ///< and fetches weights
  half,     ///< accumulate_with_half()
};

/// `Taps`: kPlainTaps where has_plain_rows(), else 0.
template <int Width, int Blocks, int Step, int InBlock, int Taps, Variant Kind>
void tile(const Walk& walk, const float* in, const float* weight, const Finish& f, float* out, const float* residual,
          const NextWeights& next) {
  Sums<Width, Blocks> sums;
  if constexpr (Taps > 0) {
    accumulate_plain_rows<Width, Step, Taps>(walk, in, weight, f.bias, sums);
#if defined(__AVX512F__)
  } else if constexpr (Kind == Variant::half) {
    accumulate_with_half<Width, Blocks, Step, InBlock>(walk, in, weight, f.bias, sums);
#endif
  } else if constexpr (Kind == Variant::fetches) {
    accumulate<Width, Blocks, Step, InBlock, true>(walk, in, weight, f.bias, sums, next);
  } else {
    accumulate<Width, Blocks, Step, InBlock>(walk, in, weight, f.bias, sums);
  }
  finish(f, sums, out, residual);
}

using TileFunction = void (*)(const Walk&, const float*, const float*, const Finish&, float*, const float*, const NextWeights&);

template <int Blocks, int Step, int InBlock, int Taps, Variant Kind, int... Widths>
TileFunction tile_of(WidthList<Widths...>, int width) {
  TileFunction found = nullptr;
  ((found = width == Widths ? &tile<Widths, Blocks, Step, InBlock, Taps, Kind> : found), ...);
  return found;
}

/// Rows of one image for `Blocks` output blocks from `block` on.
template <int Blocks, int Step, int InBlock>
void rows(const ConvArgs& args, const std::int64_t* taps, std::int64_t n, std::int64_t group, std::int64_t block, Range range) {
  const ConvShape& s = args.shape;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  const std::int64_t in_blocks = ceil_div(s.group_in(), InBlock), blocks_per_group = ceil_div(s.group_out(), kLanes);
  const std::int64_t tap_count = s.kernel_h * s.kernel_w, weight_block = in_blocks * tap_count * InBlock * kLanes;
  const std::int64_t first = group * blocks_per_group + block;
  const Walk walk{.blocks = in_blocks,
                  .block_stride = in.strides[1],
                  .taps = taps,
                  .tap_count = tap_count,
                  .last_channels = s.group_in() - (in_blocks - 1) * InBlock,
                  .weight_block = weight_block};
  const float* weight = static_cast<const float*>(args.weight) + first * weight_block;

  const std::int64_t channels = s.out_channels - first * kLanes;
  const Biases<Blocks> bias(args.bias, first * kLanes, s.out_channels);
  const Finish f{bias.at, out.strides[1], residual.strides[1], channels, &args.activation};

  std::int64_t width = s.out_w();
  // A pointwise convolution of rows without gaps is one of a single long row.
  const auto no_gaps = [](const TensorView& v, std::int64_t w) { return v.strides[2] == w * v.strides[3]; };
  if (is_pointwise(s) && s.out_w() == s.in_w && no_gaps(in, width) && no_gaps(out, width) && (!residual.data || no_gaps(residual, width))) {
    width *= range.size();
    range.end = range.begin + 1;
  }
  using List = typename TileWidths<Blocks>::List;
  const int tile_width = best_width(List{}, width);
  constexpr int kTaps = InBlock == 1 && Blocks == 1 ? kPlainTaps : 0;
  constexpr bool kInBlocks = InBlock == kLanes;
  constexpr Variant kFetches = kInBlocks && Blocks > 1 ? Variant::fetches : Variant::plain;
  constexpr Variant kHalf = kInBlocks && kLanes == 16 && Blocks <= 2 ? Variant::half : Variant::plain;
  const bool half = kHalf == Variant::half && s.groups == 1 && channels <= Blocks * kLanes - kLanes / 2;
  const bool fetches = kFetches == Variant::fetches && !half && args.far_weights;
  const TileFunction run = has_plain_rows<InBlock>(s) ? tile_of<Blocks, Step, InBlock, kTaps, Variant::plain>(List{}, tile_width)
                           : half                     ? tile_of<Blocks, Step, InBlock, 0, kHalf>(List{}, tile_width)
                           : fetches                  ? tile_of<Blocks, Step, InBlock, 0, kFetches>(List{}, tile_width)
                                                      : tile_of<Blocks, Step, InBlock, 0, Variant::plain>(List{}, tile_width);
  const float* from =
      in.f32() + n * in.strides[0] + group * in_blocks * in.strides[1] - s.pad_top * in.strides[2] - s.pad_left * in.strides[3];
  float* to = out.f32() + n * out.strides[0] + first * out.strides[1];
  const float* add = residual.data ? residual.f32() + n * residual.strides[0] + first * residual.strides[1] : nullptr;
  // The next output blocks' weights, in equal shares for all tiles of these.
  const float* const after = weight + Blocks * weight_block;
  const std::int64_t steps = in_blocks * tap_count, tiles = ceil_div(width, tile_width) * range.size();
  const std::int64_t lines = fetches ? ceil_div(Blocks * weight_block / kLineFloats, tiles * steps) : 0;
  std::int64_t fetched = 0;
  for (std::int64_t y = range.begin; y < range.end; ++y) {
    const float* from_row = from + y * s.stride_h * in.strides[2];
    for (std::int64_t begin = 0; begin < width; begin += tile_width) {
      const std::int64_t x = smaller(begin, width - tile_width);
      const NextWeights next{after + fetched, fetched < Blocks * weight_block ? lines : 0};
      fetched += steps * lines * kLineFloats;
      run(walk, from_row + x * Step * InBlock, weight, f, to + y * out.strides[2] + x * kLanes,
          add ? add + y * residual.strides[2] + x * kLanes : nullptr, next);
    }
  }
}

template <int Step, int InBlock>
void blocks(const ConvArgs& args, const std::int64_t* taps, std::int64_t n, std::int64_t group, Range range, Range out_rows) {
  if (Step == 1 && has_plain_rows<InBlock>(args.shape)) {  // faster than several output blocks that read a pixel for each tap
    for (std::int64_t b = range.begin; b < range.end; ++b) rows<1, Step, InBlock>(args, taps, n, group, b, out_rows);
    return;
  }
  each_few_blocks(range, [&]<int Blocks>(std::int64_t first) { rows<Blocks, Step, InBlock>(args, taps, n, group, first, out_rows); });
}

template <int InBlock>
void run_chunk(const ConvArgs& args, const Tiles& t, const std::int64_t* taps, std::int64_t chunk) {
  const ConvShape& s = args.shape;
  const std::int64_t parts = t.groups * t.parts;
  const auto [planes, out_rows] = plane_part(t.planes, s.batch * parts, s.out_h(), chunk);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const Division at = split(p, t.images_inside ? s.batch : parts);
    const Division part = split(t.images_inside ? at.whole : at.rest, t.parts);
    const std::int64_t n = t.images_inside ? at.rest : at.whole;
    const Range range = piece(t.blocks_per_group, t.together, part.rest);
    if (s.stride_w == 1) {
      blocks<1, InBlock>(args, taps, n, part.whole, range, out_rows);
    } else {
      blocks<2, InBlock>(args, taps, n, part.whole, range, out_rows);
    }
  }
}

std::int64_t chunks(const ConvShape& s) { return tiles(s, false).planes.count(); }
std::size_t workspace(const ConvShape& s) { return static_cast<std::size_t>(s.kernel_h * s.kernel_w) * sizeof(std::int64_t); }

template <int InBlock>
void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  auto* taps = static_cast<std::int64_t*>(workspace);
  set_taps(args.shape, args.in, 0, taps);
  run_chunk<InBlock>(args, tiles(args.shape, false), taps, chunk);
}

/// For a thread that works alone.
std::int64_t one_chunk(const ConvShape&) { return 1; }

template <int InBlock>
void run_all(const ConvArgs& args, std::int64_t, void* workspace) {
  auto* taps = static_cast<std::int64_t*>(workspace);
  set_taps(args.shape, args.in, 0, taps);
  const Tiles t = tiles(args.shape, true);
  for (std::int64_t chunk = 0; chunk < t.planes.count(); ++chunk) run_chunk<InBlock>(args, t, taps, chunk);
}

template <int InBlock>
std::size_t packed_bytes(const ConvShape& s) {
  return static_cast<std::size_t>(s.groups * round_up(s.group_out(), kLanes) * round_up(s.group_in(), InBlock) * s.kernel_h * s.kernel_w) *
         sizeof(float);
}

/// [group][output block][input block][tap][InBlock][kLanes]; channels that do not exist weigh nothing.
template <int InBlock>
void pack(const ConvShape& s, const float* weight, void* packed) {
  const std::int64_t taps = s.kernel_h * s.kernel_w, group_in = s.group_in(), group_out = s.group_out();
  float* to = static_cast<float*>(packed);
  for (std::int64_t g = 0; g < s.groups; ++g) {
    for (std::int64_t o = 0; o < group_out; o += kLanes) {
      for (std::int64_t i = 0; i < group_in; i += InBlock) {
        for (std::int64_t t = 0; t < taps; ++t) {
          for (std::int64_t c = i; c < i + InBlock; ++c) {
            for (std::int64_t lane = o; lane < o + kLanes; ++lane) {
              *to++ = c < group_in && lane < group_out ? weight[((g * group_out + lane) * group_in + c) * taps + t] : 0.0f;
            }
          }
        }
      }
    }
  }
}

template <int InBlock>
constexpr ConvCode blocked_code() {
  return {{chunks, workspace, run<InBlock>},       InBlock, kLanes, padding_halo, packed_bytes<InBlock>, pack<InBlock>,
          {one_chunk, workspace, run_all<InBlock>}};
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_blocked_f32) = KONV_ISA::blocked_code<KONV_ISA::kLanes>();
const ConvCode KONV_ISA_CODE(conv_first_f32) = KONV_ISA::blocked_code<1>();

}  // namespace konv
