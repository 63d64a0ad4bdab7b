// Convolution on blocked images as a product of float32 matrices by tile registers (bf16x6.h): the inputs of some pixels are gathered in three parts, two entries
// of panels.h to a step, and multiplied by all weights. Where these stay in the second cache, some pixels at a time; else all pixels
// of a chunk, and weights come in panels of some steps, so that they pass once.
#include "kernels/cpu/conv/bf16x6.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/panels.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_igemm_bf16x6);

namespace KONV_ISA {
namespace {

inline constexpr std::int64_t kNearGathered = 128 << 10;  ///< bytes gathered at a time for weights that stay
inline constexpr std::int64_t kMostPixels = 256;          ///< of a chunk
inline constexpr std::int64_t kPanelSteps = 48;           ///< 576 KiB of weights
inline constexpr std::int64_t kLeastTiles = 2;            ///< of pixels, of a chunk for several threads
inline constexpr std::int64_t kMostParts = 4;             ///< that several threads should find

/// A strip is four output blocks, or what is left.
struct Tiling : GatheredTiles {
  std::int64_t entries;  ///< one block of input channels at one tap each
  PartSteps part_steps{0};
  std::int64_t panel_steps, panels;
  std::int64_t tiles_together;  ///< tiles of pixels that are gathered at a time

  /// For several threads two or four chunks of ten microseconds or more: fewer pixels each, but fewer strips where weights are far, since each chunk fetches its
  /// weights and gathers its pixels, which takes two thirds of what multiplying them by a strip does.
  Tiling(const ConvShape& s, bool alone) : GatheredTiles() {
    entries = ceil_div(s.in_channels, kLanes) * s.kernel_h * s.kernel_w;
    part_steps = PartSteps(entries);
    steps = part_steps.a_tiles();
    out_blocks = ceil_div(s.out_channels, kTileOutputs);
    strips = ceil_div(out_blocks, kMostBlocks);
    pixels = s.batch * s.out_pixels();
    const bool near = packed_bytes() <= kNearWeights;
    panel_steps = near ? part_steps.all() : kPanelSteps;
    panels = ceil_div(part_steps.all(), panel_steps);
    tiles_together = clamped((near ? kNearGathered : kFarGathered) / (steps * kWeightTile), 1, kMostPixels / kRows);
    const std::int64_t most = near ? kMostPixels : tiles_together * kRows;
    const std::int64_t tiles = ceil_div(pixels, kRows), products = tiles * out_blocks * entries * 3;
    const std::int64_t wanted = alone || products < 1024 ? 1 : clamped(products / 2048 * 2, 2, kMostParts);
    std::int64_t parts = ceil_div(pixels, most), strip_parts = near ? 1 : clamped(strips / 4, smaller(strips, wanted / 2), wanted);
    if (parts * strip_parts < wanted) parts = clamped(tiles / kLeastTiles, parts, wanted / strip_parts);
    if (parts * strip_parts < wanted) strip_parts = clamped(strips / 2, strip_parts, wanted / parts);
    if (!alone && parts > 1) parts += parts % 2;
    pixels_per_chunk = ceil_div(pixels, parts);
    pixel_chunks = ceil_div(pixels, larger(1, pixels_per_chunk));
    strips_per_chunk = ceil_div(strips, larger(1, strip_parts));
    strip_chunks = ceil_div(strips, strips_per_chunk);
  }

  std::int64_t blocks_of(std::int64_t strip) const { return smaller(kMostBlocks, out_blocks - strip * kMostBlocks); }
  std::int64_t block_weights() const { return part_steps.all() * kStepWeights * kWeightTile; }
  std::int64_t packed_bytes() const { return out_blocks * block_weights(); }
};

/// The pixels of a chunk: tiles of as many rows each, the last one of fewer.
struct PixelRows {
  std::int64_t pixels, tiles, rows;

  explicit PixelRows(std::int64_t count) : pixels(count), tiles(ceil_div(count, kRows)), rows(ceil_div(count, tiles)) {}
  Range of(Range some_tiles) const { return {some_tiles.begin * rows, smaller(pixels, some_tiles.end * rows)}; }
};

/// A chunk's part of the workspace.
struct Workspace {
  std::uint8_t* gathered;  ///< A of some tiles
  float* sums;             ///< [tile][output block][pixel][16], or two of them where there is one panel
  Place* places;
  std::int64_t* offsets;
  float* biases;  ///< of all output blocks
};

inline constexpr std::int64_t kSums = kMostBlocks * kRows * kTileOutputs;  ///< of a tile of pixels

Workspace divide(const Tiling& t, Cutter& cutter) {
  return {cutter.cut<std::uint8_t>(t.tiles_together * t.steps * kWeightTile),
          cutter.cut<float>((t.panels > 1 ? t.tiles_together : 2) * kSums), cutter.cut<Place>(t.pixels_per_chunk),
          cutter.cut<std::int64_t>(t.entries + 1), cutter.cut<float>(t.out_blocks * kTileOutputs)};
}

void gather(const float* in, const Place* places, std::int64_t pixels, const std::int64_t* offsets, const PartSteps& steps,
            std::int64_t a_tile, std::uint8_t* a) {
  for (std::int64_t step = 0; step < steps.pairs; ++step, offsets += 2, a += kPairTiles * a_tile) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      const float* from = in + places[p].in;
      store_pair(parts_of(load(from + offsets[0])), parts_of(load(from + offsets[1])), a + p * kRowBytes, a_tile);
    }
  }
  if (!steps.singles) return;
  for (std::int64_t p = 0; p < pixels; ++p) store_single(parts_of(load(in + places[p].in + *offsets)), a + p * kRowBytes, a_tile);
}

/// Sums of one tile of pixels for one strip, which become outputs while the next are computed.
struct WaitingSums {
  const float* at = nullptr;
  std::int64_t strip;
  Range pixels;  ///< of the chunk
};

class Chunk {
 public:
  Chunk(const ConvArgs& args, const Tiling& t, const Workspace& at, Range pixels)
      : args_(args), t_(t), at_(at), rows_(pixels.size()), bounds_(args.activation), bounds_suffice_(Bounds::suffice(args.activation)) {
    set_places(args.shape, args.in, args.out, args.residual, pixels, at.places);
    set_offsets(args.shape, args.in, kLanes, at.offsets);
    for (std::int64_t i = 0; i < t.out_blocks * kTileOutputs; ++i)
      at.biases[i] = args.bias && i < args.shape.out_channels ? args.bias[i] : 0;
  }

  void run(Range strips) {
    const UsingTiles registers(rows_.rows, kWeightRegisters);
    for (std::int64_t tile = 0; tile < rows_.tiles; tile += t_.tiles_together) {
      const Range tiles{tile, smaller(rows_.tiles, tile + t_.tiles_together)}, pixels = rows_.of(tiles);
      gather(args_.in.f32(), at_.places + pixels.begin, pixels.size(), at_.offsets, t_.part_steps, a_tile(tiles), at_.gathered);
      for (std::int64_t strip = strips.begin; strip < strips.end; ++strip) {
        switch (t_.blocks_of(strip)) {
          case 1: run_strip<1>(strip, tiles); break;
          case 2: run_strip<2>(strip, tiles); break;
          case 3: run_strip<3>(strip, tiles); break;
          default: run_strip<4>(strip, tiles);
        }
      }
    }
    finish();
  }

 private:
  std::int64_t a_tile(Range tiles) const { return tiles.size() * rows_.rows * kRowBytes; }

  template <int Blocks>
  void run_strip(std::int64_t strip, Range tiles) {
    const std::int64_t step_bytes = Blocks * kStepWeights * kWeightTile;
    const auto* weight = static_cast<const std::uint8_t*>(args_.weight) + strip * kMostBlocks * t_.block_weights();
    if (t_.panels > 1) finish();  // its sums are about to be overwritten
    for (std::int64_t panel = 0; panel < t_.panels; ++panel) {
      const bool last = panel == t_.panels - 1;
      const Range panel_steps = piece(t_.part_steps.all(), t_.panel_steps, panel);
      PartSteps steps(0);
      steps.singles = last ? t_.part_steps.singles : 0;
      steps.pairs = panel_steps.size() - steps.singles;
      for (std::int64_t i = 0; i < tiles.size(); ++i) {
        const std::uint8_t* const a = at_.gathered + panel_steps.begin * kPairTiles * a_tile(tiles) + i * rows_.rows * kRowBytes;
        float* const sums = at_.sums + (t_.panels > 1 ? i : (turn_ ^= 1)) * kSums;
        multiply_parts<Blocks>({steps, a, a_tile(tiles), weight + panel_steps.begin * step_bytes, sums, panel == 0});
        if (!last) continue;
        finish();
        waiting_ = {sums, strip, rows_.of({tiles.begin + i, tiles.begin + i + 1})};
      }
    }
  }

  /// Bias, residual and activation of the sums that wait.
  void finish() {
    if (!waiting_.at) return;
    const Place* const places = at_.places + waiting_.pixels.begin;
    const std::int64_t pixels = waiting_.pixels.size();
    const Bounds bounds = bounds_;
    for (std::int64_t b = 0; b < t_.blocks_of(waiting_.strip); ++b) {
      const std::int64_t block = waiting_.strip * kMostBlocks + b;
      const float* const sums = waiting_.at + b * kRows * kTileOutputs;
      const Vector bias = load(at_.biases + block * kTileOutputs);
      float* const out = args_.out.f32() + block * args_.out.strides[1];
      if (args_.residual.data) {
        const float* const residual = args_.residual.f32() + block * args_.residual.strides[1];
        for (std::int64_t p = 0; p < pixels; ++p)
          store(out + places[p].out, bounds.apply(load(sums + p * kTileOutputs) + bias + load(residual + places[p].residual)));
      } else {
        for (std::int64_t p = 0; p < pixels; ++p) store(out + places[p].out, bounds.apply(load(sums + p * kTileOutputs) + bias));
      }
      if (bounds_suffice_) continue;
      for (std::int64_t p = 0; p < pixels; ++p)
        activate_blocked(args_.activation, out + places[p].out, 1, args_.shape.out_channels - block * kTileOutputs);
    }
    waiting_.at = nullptr;
  }

  const ConvArgs& args_;
  const Tiling& t_;
  const Workspace& at_;
  PixelRows rows_;
  Bounds bounds_;
  bool bounds_suffice_;
  WaitingSums waiting_{};
  int turn_ = 0;
};

template <bool Alone>
std::int64_t chunks(const ConvShape& s) {
  return Tiling(s, Alone).chunks();
}

template <bool Alone>
std::size_t workspace(const ConvShape& s) {
  return workspace_bytes(Tiling(s, Alone), divide);
}

template <bool Alone>
void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const Tiling t(s, Alone);
  Cutter cutter{static_cast<char*>(workspace)};
  const Workspace at = divide(t, cutter);
  Chunk(args, t, at, t.chunk_pixels(chunk)).run(t.chunk_strips(chunk));
}

std::size_t packed_bytes(const ConvShape& s) { return static_cast<std::size_t>(Tiling(s, true).packed_bytes()); }

void pack(const ConvShape& s, const float* weight, void* packed) {
  const Tiling t(s, true);
  const std::int64_t taps = s.kernel_h * s.kernel_w;
  std::memset(packed, 0, packed_bytes(s));
  for (std::int64_t o = 0; o < s.out_channels; ++o) {
    const std::int64_t strip = o / kTileOutputs / kMostBlocks;
    auto* const b = static_cast<std::uint8_t*>(packed) + strip * kMostBlocks * t.block_weights();
    for (std::int64_t c = 0; c < s.in_channels; ++c) {
      for (std::int64_t tap = 0; tap < taps; ++tap, ++weight) {
        const std::int64_t input = (c / kLanes * taps + tap) * kLanes + c % kLanes;
        pack_parts(t.part_steps, t.blocks_of(strip), input, o - strip * kMostBlocks * kTileOutputs, *weight, b);
      }
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_igemm_bf16x6) = {{KONV_ISA::chunks<false>, KONV_ISA::workspace<false>, KONV_ISA::run<false>},
                                                   KONV_ISA::kLanes,
                                                   KONV_ISA::kLanes,
                                                   padding_halo,
                                                   KONV_ISA::packed_bytes,
                                                   KONV_ISA::pack,
                                                   {KONV_ISA::chunks<true>, KONV_ISA::workspace<true>, KONV_ISA::run<true>}};

}  // namespace konv
