// Direct convolution on blocked images as a product of matrices: pixels x output channels, summed over input channels and taps. Pixels are taken by
// their addresses, which frees tiles from rows and strides (Dukhan, "The Indirect Convolution Algorithm", 2019).
// The sum is cut into panels whose weights stay in the first cache while all pixels of a chunk pass by; in between, sums wait in the workspace.
//
//   weights stored   multiplied as
//   float            float          as they are
//   Pair             float          widened panel by panel, to the bits that the same weights give when they are stored as float
//   Pair             Pair           the panel's pixels are rounded to pairs, too
// Only for units of an instruction set (per_isa.h): everything is in an unnamed namespace.
#pragma once

#include <type_traits>

#include "kernels/cpu/bfloat16.h"
#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/panels.h"

namespace konv::KONV_ISA {
namespace {

/// Output blocks of a strip, at most.
inline constexpr int kStripBlocks = kRegisters == 32 ? 4 : 2;
/// Entries of a panel whose pixels are rounded, at most: with the sums that wait they share the second cache.
inline constexpr std::int64_t kRoundedEntries = 16;

/// What is multiplied is a float or a pair; an entry, one block of input channels at one tap, holds so many.
template <class Factor>
inline constexpr int kTerms = std::is_same_v<Factor, Pair> ? kLanes / 2 : kLanes;

inline __attribute__((always_inline)) void multiply_add(Vector& sum, float x, Vector w) { sum += x * w; }
inline __attribute__((always_inline)) void multiply_add(Vector& sum, Pair x, Pairs w) { sum = add_products(sum, x, w); }

/// Some entries of a strip.
template <class Factor>
struct Panel {
  const Factor* in;
  const std::int64_t* offsets;  ///< of each entry's pixels in `in`, and one more
  std::int64_t entries;
  const Factor* weight;  ///< [entry][term][output block][kLanes]
  const char* next;      ///< the next panel as it is stored
  std::int64_t ahead;    ///< cache lines of it to be fetched per entry
  bool first, last;
};

/// `Spread`: what is fetched ahead is spread over the terms of an entry; in one go it would keep all the first cache's requests busy.
template <class Factor, int Pixels, int Blocks, bool Spread>
void tile(const Panel<Factor>& panel, const Place* places, std::int64_t number, float* waiting, const Finish& f, float* out,
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
  const Factor* at[Pixels];
#pragma GCC unroll 16
  for (int p = 0; p < Pixels; ++p) at[p] = panel.in + places[p].in;
  const Factor* weight = panel.weight;
  const char* fetch = panel.next + number * panel.entries * panel.ahead * 64;
  for (std::int64_t e = 0; e < panel.entries; ++e) {
    const std::int64_t offset = panel.offsets[e];
    const std::int64_t next = panel.offsets[e + 1];
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) __builtin_prefetch(at[p] + next);
    const std::int64_t each = Spread ? panel.ahead / kTerms<Factor> : 0;
    for (std::int64_t i = each * kTerms<Factor>; i < panel.ahead; ++i, fetch += 64) __builtin_prefetch(fetch, 0, 2);
#pragma GCC unroll 4
    for (int c = 0; c < kTerms<Factor>; ++c, weight += Blocks * kLanes) {
      if constexpr (Spread) {
        for (std::int64_t i = 0; i < each; ++i, fetch += 64) __builtin_prefetch(fetch, 0, 2);
      }
      decltype(load(weight)) w[Blocks];
#pragma GCC unroll 4
      for (int b = 0; b < Blocks; ++b) w[b] = load(weight + b * kLanes);
#pragma GCC unroll 16
      for (int p = 0; p < Pixels; ++p) {
        const Factor x = at[p][offset + c];
#pragma GCC unroll 4
        for (int b = 0; b < Blocks; ++b) multiply_add(sums.at[b][p], x, w[b]);
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

template <class Factor>
using TileFunction = void (*)(const Panel<Factor>&, const Place*, std::int64_t, float*, const Finish&, float*, const float*);

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

template <class Factor, int Blocks, bool Spread, int... Widths>
TileFunction<Factor> tile_of(WidthList<Widths...>, int width) {
  TileFunction<Factor> found = nullptr;
  ((found = width == Widths ? &tile<Factor, Widths, Blocks, Spread> : found), ...);
  return found;
}

/// A chunk's part of the workspace, where kernels need one.
struct Workspace {
  Place* places;
  std::int64_t* offsets;  ///< of the entries, and one more, in floats from an image's first
  float* waiting;
  float* widened;                                  ///< a panel's weights
  Pair* rounded;                                   ///< a panel's inputs, [entry][pixel][term]
  std::int64_t *rounded_offsets, *rounded_places;  ///< of its entries, and one more; where each pixel is read
};

struct Job {
  const ConvArgs& args;
  const PanelTiles& tiles;
  const Workspace& at;
  std::int64_t pixels;
};

/// [term of Pair][outputs] to [term of float][outputs].
[[maybe_unused]] void widen(const Pair* from, std::int64_t terms, std::int64_t outputs, float* to) {
  for (std::int64_t t = 0; t < terms; ++t, to += 2 * outputs) {
    for (std::int64_t o = 0; o < outputs; o += kLanes, from += kLanes) {
      const Pairs pairs = load(from);
      store(to + o, first(pairs));
      store(to + outputs + o, second(pairs));
    }
  }
}

/// The pixels of entries [begin, begin + entries).
[[maybe_unused]] void round_panel(const Job& job, const float* in, std::int64_t begin, std::int64_t entries) {
  Pair* to = job.at.rounded;
  for (std::int64_t e = begin; e < begin + entries; ++e) {
    for (std::int64_t p = 0; p < job.pixels; ++p, to += kTerms<Pair>) round_pairs(in + job.at.rounded_places[p] + job.at.offsets[e], to);
  }
}

template <class Stored, class Factor, int Blocks>
void run_strip(const Job& job, std::int64_t group, std::int64_t first_block) {
  const ConvArgs& args = job.args;
  const ConvShape& s = args.shape;
  const PanelTiles& t = job.tiles;
  const std::int64_t first = group * t.out_blocks + first_block;
  const std::int64_t channels = s.out_channels - first * kLanes;
  const Biases<Blocks> bias(args.bias, first * kLanes, s.out_channels);
  const Finish f{bias.at, args.out.strides[1], args.residual.strides[1], channels, &args.activation};
  const float* in = args.in.f32() + group * ceil_div(s.group_in(), kLanes) * args.in.strides[1];
  const auto* weight = static_cast<const Stored*>(args.weight) + first * t.entries * kTerms<Stored> * kLanes;
  float* out = args.out.f32() + first * args.out.strides[1];
  const float* residual = args.residual.data ? args.residual.f32() + first * args.residual.strides[1] : nullptr;

  using List = typename StripWidths<Blocks>::List;
  const int width = best_width(List{}, job.pixels);
  const TileFunction<Factor> in_one_go = tile_of<Factor, Blocks, false>(List{}, width);
  const TileFunction<Factor> spread = tile_of<Factor, Blocks, Blocks == kStripBlocks>(List{}, width);
  const std::int64_t count = ceil_div(job.pixels, width);
  constexpr std::int64_t kOutputs = Blocks * kLanes, kStored = kTerms<Stored> * kOutputs;
  constexpr std::int64_t kFitting = kPanelBytes / (kTerms<Factor> * kOutputs * 4);
  constexpr std::int64_t kMost = std::is_same_v<Factor, Pair> && kFitting > kRoundedEntries ? kRoundedEntries : kFitting;
  const std::int64_t panels = ceil_div(t.entries, kMost), step = ceil_div(t.entries, panels);
  for (std::int64_t begin = 0; begin < t.entries; begin += step, weight += step * kStored) {
    const std::int64_t entries = smaller(step, t.entries - begin), rest = t.entries - begin - entries;
    const std::int64_t lines = smaller(step, rest > 0 ? rest : step) * kStored / 16;
    Panel<Factor> panel{.in = nullptr,
                        .offsets = job.at.offsets + begin,
                        .entries = entries,
                        .weight = nullptr,
                        .next = reinterpret_cast<const char*>(weight + entries * kStored),
                        .ahead = ceil_div(lines, count * entries),
                        .first = begin == 0,
                        .last = rest == 0};
    if constexpr (std::is_same_v<Factor, Pair>) {
      round_panel(job, in, begin, entries);
      panel.in = job.at.rounded;
      panel.offsets = job.at.rounded_offsets;
    } else {
      panel.in = in;
    }
    if constexpr (std::is_same_v<Stored, Factor>) {
      panel.weight = weight;
    } else {
      widen(weight, entries * kTerms<Stored>, kOutputs, job.at.widened);
      panel.weight = job.at.widened;
    }
    const TileFunction<Factor> run = panel.ahead >= kTerms<Factor> ? spread : in_one_go;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t p = smaller(i * width, job.pixels - width);
      run(panel, job.at.places + p, i, job.at.waiting + i * Blocks * width * kLanes, f, out, residual);
    }
  }
}

template <bool Alone>
PanelTiles tiles(const ConvShape& s) {
  return panel_tiles(s, {.block = kLanes, .strip_blocks = kStripBlocks, .chunk_macs = 4 * kChunkMacs, .alone = Alone});
}

template <bool Alone>
std::int64_t chunks(const ConvShape& s) {
  return tiles<Alone>(s).chunks(s.groups);
}

template <class Stored, class Factor>
Workspace divide(const PanelTiles& t, Cutter& cutter) {
  Workspace w{};
  w.places = cutter.cut<Place>(t.pixels_per_chunk);
  w.offsets = cutter.cut<std::int64_t>(t.entries + 1);
  w.waiting = cutter.cut<float>((t.pixels_per_chunk + 8) * kStripBlocks * kLanes);
  if constexpr (!std::is_same_v<Stored, Factor>) w.widened = cutter.cut<float>(kPanelBytes / 4);
  if constexpr (std::is_same_v<Factor, Pair>) {
    w.rounded = cutter.cut<Pair>(kRoundedEntries * t.pixels_per_chunk * kTerms<Pair>);
    w.rounded_offsets = cutter.cut<std::int64_t>(kRoundedEntries + 1);
    w.rounded_places = cutter.cut<std::int64_t>(t.pixels_per_chunk);
  }
  return w;
}

template <class Stored, class Factor, bool Alone>
std::size_t workspace(const ConvShape& s) {
  return workspace_bytes(tiles<Alone>(s), divide<Stored, Factor>);
}

template <class Stored, class Factor, bool Alone>
void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const PanelTiles t = tiles<Alone>(s);
  Cutter cutter{static_cast<char*>(workspace)};
  const Workspace at = divide<Stored, Factor>(t, cutter);
  const Range pixels = t.chunk_pixels(chunk), strips = t.chunk_strips(chunk);
  const std::int64_t group = t.chunk_group(chunk);
  set_places(s, args.in, args.out, args.residual, pixels, at.places);
  set_offsets(s, args.in, kLanes, at.offsets);
  if constexpr (std::is_same_v<Factor, Pair>) {
    for (std::int64_t p = 0; p < pixels.size(); ++p) at.rounded_places[p] = at.places[p].in, at.places[p].in = p * kTerms<Pair>;
    for (std::int64_t e = 0; e <= kRoundedEntries; ++e) at.rounded_offsets[e] = e * pixels.size() * kTerms<Pair>;
  }
  const Job job{args, t, at, pixels.size()};
  for (std::int64_t strip = strips.begin; strip < strips.end; ++strip) {
    const Range blocks = t.strip_blocks(strip);
    switch (blocks.size()) {
      case 1: run_strip<Stored, Factor, 1>(job, group, blocks.begin); break;
      case 2: run_strip<Stored, Factor, 2>(job, group, blocks.begin); break;
      default:
        if constexpr (kStripBlocks == 4) {
          blocks.size() == 3 ? run_strip<Stored, Factor, 3>(job, group, blocks.begin)
                             : run_strip<Stored, Factor, 4>(job, group, blocks.begin);
        }
    }
  }
}

template <class Stored>
std::size_t packed_bytes(const ConvShape& s) {
  const PanelTiles t = tiles<true>(s);
  return static_cast<std::size_t>(s.groups * t.out_blocks * t.entries * kTerms<Stored> * kLanes) * sizeof(Stored);
}

/// [group][strip][input block][tap][term][output block of the strip][kLanes]; channels that do not exist weigh nothing.
template <class Stored>
void pack(const ConvShape& s, const float* weight, void* packed) {
  const PanelTiles t = tiles<true>(s);
  const std::int64_t taps = s.kernel_h * s.kernel_w, group_in = s.group_in(), group_out = s.group_out();
  auto* to = static_cast<Stored*>(packed);
  for (std::int64_t g = 0; g < s.groups; ++g) {
    for (std::int64_t strip = 0; strip < t.strips; ++strip) {
      const Range blocks = t.strip_blocks(strip);
      for (std::int64_t entry = 0; entry < t.entries; ++entry) {
        const auto weight_of = [&](std::int64_t c, std::int64_t o) {
          return c < group_in && o < group_out ? weight[((g * group_out + o) * group_in + c) * taps + entry % taps] : 0.0f;
        };
        for (std::int64_t c = entry / taps * kLanes; c < (entry / taps + 1) * kLanes; c += kLanes / kTerms<Stored>) {
          for (std::int64_t o = blocks.begin * kLanes; o < blocks.end * kLanes; ++o) {
            if constexpr (std::is_same_v<Stored, Pair>) {
              *to++ = make_pair(weight_of(c, o), weight_of(c + 1, o));
            } else {
              *to++ = weight_of(c, o);
            }
          }
        }
      }
    }
  }
}

template <class Stored, class Factor>
constexpr ConvCode igemm_code() {
  const auto type = [](bool pairs) { return pairs ? DType::bfloat16 : DType::float32; };
  return {{chunks<false>, workspace<Stored, Factor, false>, run<Stored, Factor, false>},
          kLanes,
          kLanes,
          padding_halo,
          packed_bytes<Stored>,
          pack<Stored>,
          {chunks<true>, workspace<Stored, Factor, true>, run<Stored, Factor, true>},
          {},
          1,
          type(std::is_same_v<Stored, Pair>),
          type(std::is_same_v<Factor, Pair>)};
}

}  // namespace
}  // namespace konv::KONV_ISA
