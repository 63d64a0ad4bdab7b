// Integer convolution on blocked images as a product of matrices, as conv/igemm.h does it for real numbers: panels of weights stay in the first cache while
// all pixels of a chunk pass by, pixels are taken by their addresses, and sums wait in the workspace between panels. Six pixels by four vectors of outputs load
// ten vectors for 24 products of quads, where the row tiles of blocked_tile.h load 16 for 28.
#include "kernels/cpu/conv/panels.h"
#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish.h"
#include "kernels/cpu/padding.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_igemm_u8);

namespace KONV_ISA {
namespace {

inline constexpr int kVectors = kIntegerBlock / kLanes;  ///< of one block of output channels
inline constexpr int kStripBlocks = 4;                   ///< output blocks of a strip, at most
inline constexpr int kBlockQuads = kIntegerBlock / 4;

struct Panel {
  const std::int64_t* offsets;  ///< of its entries, and one more
  std::int64_t entries;
  const std::uint8_t* weight;  ///< [entry][quad][vector of the strip][kQuadWeightBytes]
  std::int64_t ahead;          ///< cache lines of the next panel to be fetched per entry
  bool first, last;
};

struct Finish {
  Target target;
  PackedChannels channels;                 ///< of the strip's first output
  std::int64_t out_block, residual_block;  ///< elements
};

#if defined(__AVX512F__)
typedef std::int32_t Block __attribute__((vector_size(kIntegerBlock)));
inline __attribute__((always_inline)) void store_block(std::uint8_t* to, Block bytes) { std::memcpy(to, &bytes, sizeof bytes); }
#endif

template <int Pixels, int Vectors>
void tile(const Panel& panel, const Place* places, std::int64_t number, const std::uint8_t* in, std::int32_t* waiting, const Finish& f,
          std::uint8_t* out, const std::uint8_t* residual) {
  Ints sums[Vectors][Pixels];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
      sums[v][p] = panel.first ? load_ints(f.channels.start + v * kLanes) : load_ints(waiting + (v * Pixels + p) * kLanes);
    }
  }
  const std::uint8_t* at[Pixels];
#pragma GCC unroll 16
  for (int p = 0; p < Pixels; ++p) at[p] = in + places[p].in;
  const std::uint8_t* weight = panel.weight;
  const std::uint8_t* fetch = weight + panel.entries * kBlockQuads * Vectors * kQuadWeightBytes + number * panel.entries * panel.ahead * 64;
  for (std::int64_t e = 0; e < panel.entries; ++e) {
    const std::int64_t offset = panel.offsets[e], next = panel.offsets[e + 1];
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) __builtin_prefetch(at[p] + next);
    for (std::int64_t i = 0; i < panel.ahead; ++i, fetch += 64) __builtin_prefetch(fetch, 0, 2);
#pragma GCC unroll 4
    for (int q = 0; q < kBlockQuads; ++q, weight += Vectors * kQuadWeightBytes) {
      WeightQuad w[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) w[v] = load_weights(weight + v * kQuadWeightBytes);
#pragma GCC unroll 16
      for (int p = 0; p < Pixels; ++p) {
        const Quad x = broadcast_quad(at[p] + offset + 4 * q);
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) sums[v][p] = dot(sums[v][p], x, w[v]);
      }
    }
  }
  if (!panel.last) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
#pragma GCC unroll 16
      for (int p = 0; p < Pixels; ++p) std::memcpy(waiting + (v * Pixels + p) * kLanes, &sums[v][p], sizeof sums[v][p]);
    }
    return;
  }
#if defined(__AVX512F__)
  const Requantize& q = f.target.output;
  if (!f.target.floats && q.activation.kind == ActivationKind::none && q.low == static_cast<float>(-q.zero)) {
    const __m512i zero = _mm512_set1_epi16(static_cast<short>(q.zero));
    const Vector high = broadcast(q.high), residual_multiplier = broadcast(q.residual_multiplier);
    const Ints residual_zero = Ints{} + q.residual_zero;
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
      Ints outputs[4] = {};
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        Vector x = to_floats(sums[v][p]) * load(f.channels.multiplier + v * kLanes);
        x = x + load(f.channels.offset + v * kLanes);
        if (residual)
          x = x + to_floats(load_bytes(residual + places[p].residual + v * f.residual_block) - residual_zero) * residual_multiplier;
        outputs[v] = nearest_even(high < x ? high : x);
      }
      const auto bytes = (Ints)bytes_in_order(pack_pairs(outputs[0], outputs[1], zero), pack_pairs(outputs[2], outputs[3], zero));
      std::uint8_t* to = out + places[p].out;
      store_block(to, __builtin_shufflevector(bytes, bytes, 0, 1, 2, 3));
      if constexpr (Vectors > 1) store_block(to + f.out_block, __builtin_shufflevector(bytes, bytes, 4, 5, 6, 7));
      if constexpr (Vectors > 2) store_block(to + 2 * f.out_block, __builtin_shufflevector(bytes, bytes, 8, 9, 10, 11));
      if constexpr (Vectors > 3) store_block(to + 3 * f.out_block, __builtin_shufflevector(bytes, bytes, 12, 13, 14, 15));
    }
    return;
  }
#endif
  for (int p = 0; p < Pixels; ++p) {
    for (int v = 0; v < Vectors; ++v) {
      const std::int64_t lane = v % kVectors * kLanes;
      const std::uint8_t* add = residual ? residual + places[p].residual + v / kVectors * f.residual_block + lane : nullptr;
      finish_sums(f.target, sums[v][p], load(f.channels.multiplier + v * kLanes), load(f.channels.offset + v * kLanes), add,
                  out + (places[p].out + v / kVectors * f.out_block + lane) * f.target.size());
    }
  }
}

using TileFunction = void (*)(const Panel&, const Place*, std::int64_t, const std::uint8_t*, std::int32_t*, const Finish&, std::uint8_t*,
                              const std::uint8_t*);

template <int Vectors>
TileFunction tile_of(int width) {
  switch (width) {
    case 6: return &tile<6, Vectors>;
    case 4: return &tile<4, Vectors>;
    case 2: return &tile<2, Vectors>;
    default: return &tile<1, Vectors>;
  }
}

struct Job {
  const IntegerConvArgs& args;
  const PanelTiles& tiles;
  const std::int64_t* offsets;
  const Place* places;
  std::int64_t pixels;
  std::int32_t* waiting;
};

template <int Blocks>
void run_strip(const Job& job, std::int64_t group, std::int64_t first_block) {
  constexpr int Vectors = Blocks * kVectors;
  const IntegerConvArgs& args = job.args;
  const ConvShape& s = args.shape.conv;
  const PanelTiles& t = job.tiles;
  const std::int64_t first = group * t.out_blocks + first_block;
  PackedChannels channels = packed_channels(args.weight, s.out_channels);
  const auto* weight = static_cast<const std::uint8_t*>(channels.weight) + first * t.entries * kBlockQuads * kVectors * kQuadWeightBytes;
  channels.start += first * kIntegerBlock, channels.multiplier += first * kIntegerBlock, channels.offset += first * kIntegerBlock;
  const Target target{args.output, args.shape.out == DType::float32};
  const Finish f{target, channels, args.out.strides[1], args.residual.strides[1]};
  const std::uint8_t* in =
      static_cast<const std::uint8_t*>(args.in.data) + group * ceil_div(s.group_in(), kIntegerBlock) * args.in.strides[1];
  std::uint8_t* out = static_cast<std::uint8_t*>(args.out.data) + first * args.out.strides[1] * target.size();
  const std::uint8_t* residual =
      args.residual.data ? static_cast<const std::uint8_t*>(args.residual.data) + first * args.residual.strides[1] : nullptr;

  const int width = job.pixels >= 6 ? 6 : job.pixels >= 4 ? 4 : job.pixels >= 2 ? 2 : 1;
  const TileFunction run = tile_of<Vectors>(width);
  const std::int64_t count = ceil_div(job.pixels, width);
  constexpr std::int64_t kEntryBytes = kBlockQuads * Vectors * kQuadWeightBytes;
  const std::int64_t panels = ceil_div(t.entries, kPanelBytes / kEntryBytes), step = ceil_div(t.entries, panels);
  for (std::int64_t begin = 0; begin < t.entries; begin += step) {
    const std::int64_t entries = smaller(step, t.entries - begin), rest = t.entries - begin - entries;
    const std::int64_t lines = smaller(step, rest > 0 ? rest : step) * kEntryBytes / 64;
    const Panel panel{job.offsets + begin, entries, weight + begin * kEntryBytes, ceil_div(lines, count * entries), begin == 0, rest == 0};
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t p = smaller(i * width, job.pixels - width);
      run(panel, job.places + p, i, in, job.waiting + i * Vectors * width * kLanes, f, out, residual);
    }
  }
}

template <bool Alone>
PanelTiles tiles(const ConvShape& s) {
  return panel_tiles(s, {.block = kIntegerBlock, .strip_blocks = kStripBlocks, .chunk_macs = 16 * kChunkMacs, .alone = Alone});
}

template <bool Alone>
std::int64_t chunks(const IntegerConvShape& shape) {
  return tiles<Alone>(shape.conv).chunks(shape.conv.groups);
}

/// A chunk's part of the workspace.
struct Workspace {
  Place* places;
  std::int64_t* offsets;
  std::int32_t* waiting;
};

Workspace divide(const PanelTiles& t, Cutter& cutter) {
  return {cutter.cut<Place>(t.pixels_per_chunk), cutter.cut<std::int64_t>(t.entries + 1),
          cutter.cut<std::int32_t>((t.pixels_per_chunk + kTilePixels) * kStripBlocks * kIntegerBlock)};
}

template <bool Alone>
std::size_t workspace(const IntegerConvShape& shape) {
  return workspace_bytes(tiles<Alone>(shape.conv), divide);
}

template <bool Alone>
void run(const IntegerConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape.conv;
  const PanelTiles t = tiles<Alone>(s);
  Cutter cutter{static_cast<char*>(workspace)};
  const Workspace at = divide(t, cutter);
  const Range pixels = t.chunk_pixels(chunk), strips = t.chunk_strips(chunk);
  const std::int64_t group = t.chunk_group(chunk);
  set_places(s, args.in, args.out, args.residual, pixels, at.places);
  set_offsets(s, args.in, kIntegerBlock, at.offsets);
  const Job job{args, t, at.offsets, at.places, pixels.size(), at.waiting};
  for (std::int64_t strip = strips.begin; strip < strips.end; ++strip) {
    const Range blocks = t.strip_blocks(strip);
    switch (blocks.size()) {
      case 1: run_strip<1>(job, group, blocks.begin); break;
      case 2: run_strip<2>(job, group, blocks.begin); break;
      case 3: run_strip<3>(job, group, blocks.begin); break;
      default: run_strip<4>(job, group, blocks.begin);
    }
  }
}

std::size_t packed_bytes(const IntegerConvShape& shape) {
  const ConvShape& s = shape.conv;
  const PanelTiles t = tiles<true>(s);
  return packed_channel_bytes(s.out_channels) +
         static_cast<std::size_t>(s.groups * t.out_blocks * kVectors * t.entries * kBlockQuads * kQuadWeightBytes);
}

/// [group][strip][input block][tap][quad of the block][vector of the strip][four inputs][kLanes]
void pack(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  const PanelTiles t = tiles<true>(s);
  pack_channels(s, weights, packed);
  const std::int64_t taps = s.kernel_h * s.kernel_w, group_in = s.group_in(), group_out = s.group_out();
  auto* to = static_cast<std::uint8_t*>(packed_channels(packed, s.out_channels).weight);
  for (std::int64_t g = 0; g < s.groups; ++g) {
    for (std::int64_t strip = 0; strip < t.strips; ++strip) {
      const Range blocks = t.strip_blocks(strip);
      for (std::int64_t entry = 0; entry < t.entries; ++entry) {
        for (std::int64_t c = entry / taps * kIntegerBlock; c < (entry / taps + 1) * kIntegerBlock; c += 4) {
          for (std::int64_t o = blocks.begin * kIntegerBlock; o < blocks.end * kIntegerBlock; o += kLanes, to += kQuadWeightBytes) {
            store_weights(to, [&](int lane, int i) -> std::int16_t {
              if (c + i >= group_in || o + lane >= group_out) return 0;
              return weights.weight[((g * group_out + o + lane) * group_in + c + i) * taps + entry % taps];
            });
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const IntegerConvCode KONV_ISA_CODE(conv_igemm_u8) = {{KONV_ISA::chunks<false>, KONV_ISA::workspace<false>, KONV_ISA::run<false>},
                                                      kIntegerBlock,
                                                      kIntegerBlock,
                                                      padding_halo,
                                                      KONV_ISA::packed_bytes,
                                                      KONV_ISA::pack,
                                                      {KONV_ISA::chunks<true>, KONV_ISA::workspace<true>, KONV_ISA::run<true>}};

}  // namespace konv
