// Direct convolution on blocked images as a product of matrices: pixels x output channels, summed over input channels and taps. Pixels are taken by
// their addresses, which frees tiles from rows and strides (Dukhan, "The Indirect Convolution Algorithm", 2019).
// The sum is cut into panels whose weights stay in the first cache while all pixels of a chunk pass by; in between, sums wait in the workspace.
#include <type_traits>

#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_igemm_f32);

namespace KONV_ISA {
namespace {

/// Output blocks of a strip, at most; bytes of its weights in a panel.
inline constexpr int kStripBlocks = kRegisters == 32 ? 4 : 2;
inline constexpr std::int64_t kPanelBytes = 24 * 1024;
/// Pixels of a chunk, at most: what they read and the sums that wait stay in the second cache.
inline constexpr std::int64_t kChunkPixels = 204;
/// Chunks that several threads should find; only fewer pixels than kLeastPixels do not pay for a pass of the weights.
inline constexpr std::int64_t kEnoughChunks = 8, kLeastPixels = 30;

/// An entry is one block of input channels at one tap: kLanes terms of the sum.
struct Tiles {
  std::int64_t out_blocks, strips;  ///< of a group
  std::int64_t entries;
  std::int64_t pixels, pixels_per_chunk, pixel_chunks;  ///< of the whole batch
  std::int64_t strips_per_chunk, strip_chunks;
};

template <bool Alone>
Tiles tiles(const ConvShape& s) {
  Tiles t;
  t.out_blocks = ceil_div(s.group_out(), kLanes);
  t.strips = ceil_div(t.out_blocks, kStripBlocks);
  t.entries = ceil_div(s.group_in(), kLanes) * s.kernel_h * s.kernel_w;
  t.pixels = s.batch * s.out_pixels();
  std::int64_t parts = ceil_div(t.pixels, kChunkPixels);
  if (!Alone && s.groups * t.strips * parts < kEnoughChunks) {
    parts = clamped(t.pixels / kLeastPixels, parts, ceil_div(kEnoughChunks, s.groups * t.strips));
  }
  t.pixels_per_chunk = round_up(ceil_div(t.pixels, parts), 6);
  t.pixel_chunks = ceil_div(t.pixels, t.pixels_per_chunk);
  const std::int64_t strip_macs = t.pixels_per_chunk * t.entries * kLanes * kStripBlocks * kLanes;
  const std::int64_t at_once = larger(1, s.groups * t.strips * t.pixel_chunks / kEnoughChunks);  // strips that leave enough chunks
  t.strips_per_chunk = Alone ? t.strips : clamped(4 * kChunkMacs / strip_macs, 1, smaller(at_once, t.strips));
  t.strip_chunks = ceil_div(t.strips, t.strips_per_chunk);
  return t;
}

/// A strip's output blocks: as even as can be.
Range strip_blocks(const Tiles& t, std::int64_t strip) { return {strip * t.out_blocks / t.strips, (strip + 1) * t.out_blocks / t.strips}; }

/// Where an output pixel reads and writes, in floats from the first image of a group and strip.
struct Place {
  std::int64_t in, out, residual;
};

/// Some entries of a strip.
struct Panel {
  const std::int64_t* offsets;
  std::int64_t entries;
  const float* weight;  ///< [entry][lane of the input block][output block][kLanes]
  std::int64_t ahead;   ///< cache lines of the next panel to be fetched per entry
  bool first, last;
};

template <int Pixels, int Blocks>
void tile(const Panel& panel, const Place* places, std::int64_t number, const float* in, float* waiting, const Finish& f, float* out,
          const float* residual) {
  Sums<Pixels, Blocks> sums;
  if (panel.first) {
    sums = {};
  } else {
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; ++b) {
#pragma GCC unroll 16
      for (int p = 0; p < Pixels; ++p) sums.at[b][p] = load(waiting + (b * Pixels + p) * kLanes);
    }
  }
  const float* at[Pixels];
#pragma GCC unroll 16
  for (int p = 0; p < Pixels; ++p) at[p] = in + places[p].in;
  const float* weight = panel.weight;
  const float* fetch = weight + panel.entries * kLanes * Blocks * kLanes + number * panel.entries * panel.ahead * 16;
  for (std::int64_t e = 0; e < panel.entries; ++e) {
    const std::int64_t offset = panel.offsets[e];
    const std::int64_t next = panel.offsets[e + 1];
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) __builtin_prefetch(at[p] + next);
    for (std::int64_t i = 0; i < panel.ahead; ++i, fetch += 16) __builtin_prefetch(fetch, 0, 2);
#pragma GCC unroll 4
    for (int c = 0; c < kLanes; ++c, weight += Blocks * kLanes) {
      Vector w[Blocks];
#pragma GCC unroll 4
      for (int b = 0; b < Blocks; ++b) w[b] = load(weight + b * kLanes);
#pragma GCC unroll 16
      for (int p = 0; p < Pixels; ++p) {
        const float x = at[p][offset + c];
#pragma GCC unroll 4
        for (int b = 0; b < Blocks; ++b) sums.at[b][p] += x * w[b];
      }
    }
  }
  if (!panel.last) {
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; ++b) {
#pragma GCC unroll 16
      for (int p = 0; p < Pixels; ++p) store(waiting + (b * Pixels + p) * kLanes, sums.at[b][p]);
    }
    return;
  }
  const Bounds bounds(*f.activation);
  const bool done = Bounds::suffice(*f.activation);
#pragma GCC unroll 16
  for (int p = 0; p < Pixels; ++p) {
    float* to = out + places[p].out;
    const float* add = residual ? residual + places[p].residual : nullptr;
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; ++b) {
      Vector x = sums.at[b][p] + load(f.bias + b * kLanes);
      if (add) x += load(add + b * f.residual_block);
      store(to + b * f.out_block, bounds.apply(x));
      if (!done) activate_blocked(*f.activation, to + b * f.out_block, 1, f.channels - b * kLanes);
    }
  }
}

using TileFunction = void (*)(const Panel&, const Place*, std::int64_t, const float*, float*, const Finish&, float*, const float*);

/// Tile widths that are compiled, by blocks.
template <int Blocks>
struct StripWidths;
template <>
struct StripWidths<1> {
  using List = WidthList<8, 7, 6, 4, 2, 1>;
};
template <>
struct StripWidths<2> {
  using List = std::conditional_t<kRegisters == 32, WidthList<8, 7, 6, 4, 2, 1>, WidthList<6, 5, 4, 2, 1>>;
};
template <>
struct StripWidths<3> {
  using List = WidthList<8, 7, 6, 4, 2, 1>;
};
template <>
struct StripWidths<4> {
  using List = WidthList<6, 5, 4, 2, 1>;
};

template <int Blocks, int... Widths>
TileFunction tile_of(WidthList<Widths...>, int width) {
  TileFunction found = nullptr;
  ((found = width == Widths ? &tile<Widths, Blocks> : found), ...);
  return found;
}

struct Job {
  const ConvArgs& args;
  const Tiles& tiles;
  const std::int64_t* offsets;  ///< of the entries, and one more
  const Place* places;
  std::int64_t pixels;
  float* waiting;
};

template <int Blocks>
void run_strip(const Job& job, std::int64_t group, std::int64_t first_block) {
  const ConvArgs& args = job.args;
  const ConvShape& s = args.shape;
  const Tiles& t = job.tiles;
  const std::int64_t first = group * t.out_blocks + first_block;
  const std::int64_t channels = s.out_channels - first * kLanes;
  const Biases<Blocks> bias(args.bias, first * kLanes, s.out_channels);
  const Finish f{bias.at, args.out.strides[1], args.residual.strides[1], channels, &args.activation};
  const float* in = args.in.f32() + group * ceil_div(s.group_in(), kLanes) * args.in.strides[1];
  const float* weight = static_cast<const float*>(args.weight) + first * t.entries * kLanes * kLanes;
  float* out = args.out.f32() + first * args.out.strides[1];
  const float* residual = args.residual.data ? args.residual.f32() + first * args.residual.strides[1] : nullptr;

  using List = typename StripWidths<Blocks>::List;
  const int width = best_width(List{}, job.pixels);
  const TileFunction run = tile_of<Blocks>(List{}, width);
  const std::int64_t count = ceil_div(job.pixels, width);
  constexpr std::int64_t kEntryFloats = kLanes * Blocks * kLanes;
  const std::int64_t most = kPanelBytes / (kEntryFloats * 4), panels = ceil_div(t.entries, most), step = ceil_div(t.entries, panels);
  for (std::int64_t begin = 0; begin < t.entries; begin += step) {
    const std::int64_t entries = smaller(step, t.entries - begin), rest = t.entries - begin - entries;
    const std::int64_t lines = smaller(step, rest > 0 ? rest : step) * kEntryFloats / 16;
    const Panel panel{job.offsets + begin, entries, weight + begin * kEntryFloats, ceil_div(lines, count * entries), begin == 0, rest == 0};
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t p = smaller(i * width, job.pixels - width);
      run(panel, job.places + p, i, in, job.waiting + i * Blocks * width * kLanes, f, out, residual);
    }
  }
}

void set_places(const ConvArgs& args, Range range, Place* places) {
  const ConvShape& s = args.shape;
  const TensorView &in = args.in, &out = args.out, &residual = args.residual;
  std::int64_t n = range.begin / s.out_pixels(), y = range.begin % s.out_pixels() / s.out_w(), x = range.begin % s.out_w();
  for (std::int64_t i = 0; i < range.size(); ++i) {
    places[i].in = n * in.strides[0] + (y * s.stride_h - s.pad_top) * in.strides[2] + (x * s.stride_w - s.pad_left) * in.strides[3];
    places[i].out = n * out.strides[0] + y * out.strides[2] + x * out.strides[3];
    places[i].residual = residual.data ? n * residual.strides[0] + y * residual.strides[2] + x * residual.strides[3] : 0;
    if (++x == s.out_w()) {
      x = 0;
      if (++y == s.out_h()) y = 0, ++n;
    }
  }
}

void set_offsets(const ConvArgs& args, const Tiles& t, std::int64_t* offsets) {
  const ConvShape& s = args.shape;
  const TensorView& in = args.in;
  std::int64_t* to = offsets;
  for (std::int64_t block = 0; block < ceil_div(s.group_in(), kLanes); ++block) {
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
        *to++ = block * in.strides[1] + ky * s.dilation_h * in.strides[2] + kx * s.dilation_w * in.strides[3];
      }
    }
  }
  offsets[t.entries] = 0;
}

template <bool Alone>
std::int64_t chunks(const ConvShape& s) {
  const Tiles t = tiles<Alone>(s);
  return s.groups * t.strip_chunks * t.pixel_chunks;
}

std::int64_t places_bytes(const Tiles& t) { return round_up(t.pixels_per_chunk * static_cast<std::int64_t>(sizeof(Place)), 64); }
std::int64_t offsets_bytes(const Tiles& t) { return round_up((t.entries + 1) * static_cast<std::int64_t>(sizeof(std::int64_t)), 64); }

template <bool Alone>
std::size_t workspace(const ConvShape& s) {
  const Tiles t = tiles<Alone>(s);
  const std::int64_t waiting = (t.pixels_per_chunk + 8) * kStripBlocks * kLanes * 4;
  return static_cast<std::size_t>(places_bytes(t) + offsets_bytes(t) + waiting);
}

template <bool Alone>
void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const Tiles t = tiles<Alone>(s);
  auto* bytes = static_cast<char*>(workspace);
  auto* places = reinterpret_cast<Place*>(bytes);
  auto* offsets = reinterpret_cast<std::int64_t*>(bytes + places_bytes(t));
  auto* waiting = reinterpret_cast<float*>(bytes + places_bytes(t) + offsets_bytes(t));
  const Range pixels = piece(t.pixels, t.pixels_per_chunk, chunk % t.pixel_chunks);
  const std::int64_t group = chunk / t.pixel_chunks / t.strip_chunks;
  const Range strips = piece(t.strips, t.strips_per_chunk, chunk / t.pixel_chunks % t.strip_chunks);
  set_places(args, pixels, places);
  set_offsets(args, t, offsets);
  const Job job{args, t, offsets, places, pixels.size(), waiting};
  for (std::int64_t strip = strips.begin; strip < strips.end; ++strip) {
    const Range blocks = strip_blocks(t, strip);
    switch (blocks.size()) {
      case 1: run_strip<1>(job, group, blocks.begin); break;
      case 2: run_strip<2>(job, group, blocks.begin); break;
      default:
        if constexpr (kStripBlocks == 4) {
          blocks.size() == 3 ? run_strip<3>(job, group, blocks.begin) : run_strip<4>(job, group, blocks.begin);
        }
    }
  }
}

std::size_t packed_bytes(const ConvShape& s) {
  const Tiles t = tiles<true>(s);
  return static_cast<std::size_t>(s.groups * t.out_blocks * t.entries * kLanes * kLanes) * sizeof(float);
}

/// [group][strip][input block][tap][lane of the input block][output block of the strip][kLanes]; channels that do not exist weigh nothing.
void pack(const ConvShape& s, const float* weight, void* packed) {
  const Tiles t = tiles<true>(s);
  const std::int64_t taps = s.kernel_h * s.kernel_w, group_in = s.group_in(), group_out = s.group_out();
  float* to = static_cast<float*>(packed);
  for (std::int64_t g = 0; g < s.groups; ++g) {
    for (std::int64_t strip = 0; strip < t.strips; ++strip) {
      const Range blocks = strip_blocks(t, strip);
      for (std::int64_t entry = 0; entry < t.entries; ++entry) {
        for (std::int64_t c = entry / taps * kLanes; c < (entry / taps + 1) * kLanes; ++c) {
          for (std::int64_t o = blocks.begin * kLanes; o < blocks.end * kLanes; ++o) {
            *to++ = c < group_in && o < group_out ? weight[((g * group_out + o) * group_in + c) * taps + entry % taps] : 0.0f;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_igemm_f32) = {{KONV_ISA::chunks<false>, KONV_ISA::workspace<false>, KONV_ISA::run<false>},
                                                KONV_ISA::kLanes,
                                                KONV_ISA::kLanes,
                                                padding_halo,
                                                KONV_ISA::packed_bytes,
                                                KONV_ISA::pack,
                                                {KONV_ISA::chunks<true>, KONV_ISA::workspace<true>, KONV_ISA::run<true>}};

}  // namespace konv
