// Integer convolution on blocked images by tile registers (../amx.h): the inputs of a chunk's pixels are gathered into rows of 64 bytes, four entries of panels.h
// each, so kernels and strides of any size will do.
#include "kernels/cpu/conv/panels.h"
#include "kernels/cpu/integer/amx.h"
#include "kernels/cpu/padding.h"

namespace konv {

extern const IntegerConvCode KONV_ISA_CODE(conv_igemm_u8);

namespace KONV_ISA {
namespace {

inline constexpr std::int64_t kStepEntries = kRowBytes / kIntegerBlock;
/// One block of input channels at one tap each.
std::int64_t entries(const ConvShape& s) { return ceil_div(s.in_channels, kIntegerBlock) * s.kernel_h * s.kernel_w; }

template <bool Alone>
GatheredTiles tiling(const ConvShape& s) {
  return gathered_tiles(s.batch * s.out_pixels(), ceil_div(entries(s), kStepEntries), s.out_channels, Alone);
}

typedef std::int64_t Entry __attribute__((vector_size(kIntegerBlock)));
inline __attribute__((always_inline)) Entry load_entry(const std::uint8_t* p) {
  Entry e;
  std::memcpy(&e, p, sizeof e);
  return e;
}

/// A as [step][pixel][64 inputs]. Entries that do not exist have weights of 0, so any byte will do for them.
void gather(const std::uint8_t* in, const Place* places, std::int64_t pixels, const std::int64_t* offsets, std::int64_t steps,
            std::uint8_t* a) {
  for (std::int64_t step = 0; step < steps; ++step, offsets += kStepEntries) {
    const std::uint8_t *in0 = in + offsets[0], *in1 = in + offsets[1], *in2 = in + offsets[2], *in3 = in + offsets[3];
    for (std::int64_t p = 0; p < pixels; ++p, a += kRowBytes) {
      const std::int64_t at = places[p].in;
      const auto low = __builtin_shufflevector(load_entry(in0 + at), load_entry(in1 + at), 0, 1, 2, 3);
      const auto high = __builtin_shufflevector(load_entry(in2 + at), load_entry(in3 + at), 0, 1, 2, 3);
      const auto all = __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
      std::memcpy(a, &all, sizeof all);
    }
  }
}

/// A chunk's part of the workspace.
struct Workspace {
  std::uint8_t* gathered;
  std::int32_t* sums;
  Place* places;
  std::int64_t* side_by_side;  ///< how many pixels from each on lie side by side, in the output and the residual
  std::int64_t *offsets, *steps;
};

Workspace divide(const GatheredTiles& t, Cutter& cutter) {
  return {cutter.cut<std::uint8_t>((t.pixels_per_chunk * t.steps + 2 * kRows) * kRowBytes),
          cutter.cut<std::int32_t>(2 * kStripSums + 4 * kStripBlocks * kIntegerBlock),
          cutter.cut<Place>(t.pixels_per_chunk),
          cutter.cut<std::int64_t>(t.pixels_per_chunk),
          cutter.cut<std::int64_t>(t.steps * kStepEntries + 1),
          cutter.cut<std::int64_t>(t.steps)};
}

template <int Blocks>
void run_strip(const Strip& strip, const GatheredTiles& t, const Workspace& at, std::int64_t pixels) {
  multiply_gathered<BytesInTiles, Blocks>(t, pixels, at.gathered, at.steps, strip.weight, strip.channels.start, at.sums,
                                          [&](const std::int32_t* sums, std::int64_t first, std::int64_t count) {
                                            for (std::int64_t p = first, n; p < first + count; p += n, sums += n * Blocks * kIntegerBlock) {
                                              n = smaller(at.side_by_side[p], first + count - p);
                                              finish<Blocks>(strip, sums, n, at.places[p].out, at.places[p].residual);
                                            }
                                          });
}

template <bool Alone>
std::int64_t chunks(const IntegerConvShape& shape) {
  return tiling<Alone>(shape.conv).chunks();
}

template <bool Alone>
std::size_t workspace(const IntegerConvShape& shape) {
  return workspace_bytes(tiling<Alone>(shape.conv), divide);
}

template <bool Alone>
void run(const IntegerConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape.conv;
  const GatheredTiles t = tiling<Alone>(s);
  Cutter cutter{static_cast<char*>(workspace)};
  const Workspace at = divide(t, cutter);
  const Range pixels = t.chunk_pixels(chunk), strips = t.chunk_strips(chunk);
  set_places(s, args.in, args.out, args.residual, pixels, at.places);
  for (std::int64_t p = pixels.size(), n = 0; p-- > 0; at.side_by_side[p] = n) {
    const Place *here = at.places + p, *next = here + 1;
    const bool beside = p + 1 < pixels.size() && next->out == here->out + kIntegerBlock &&
                        (!args.residual.data || next->residual == here->residual + kIntegerBlock);
    n = beside ? n + 1 : 1;
  }
  set_offsets(s, args.in, kIntegerBlock, at.offsets);
  for (std::int64_t e = entries(s); e < t.steps * kStepEntries; ++e) at.offsets[e] = 0;
  for (std::int64_t step = 0; step < t.steps; ++step) at.steps[step] = step * pixels.size() * kRowBytes;
  gather(static_cast<const std::uint8_t*>(args.in.data), at.places, pixels.size(), at.offsets, t.steps, at.gathered);
  const UsingTiles tiles(tile_rows(pixels.size()));
  each_strip(strips, t.out_blocks, [&]<int Blocks>(std::int64_t strip) {
    run_strip<Blocks>({args, t.steps, strip}, t, at, pixels.size());
  });
}

std::size_t packed_bytes(const IntegerConvShape& shape) {
  const GatheredTiles t = tiling<true>(shape.conv);
  return packed_channel_bytes(shape.conv.out_channels) + static_cast<std::size_t>(t.out_blocks * t.steps * kWeightTile);
}

void pack(const IntegerConvShape& shape, const IntegerWeights& weights, void* packed) {
  const ConvShape& s = shape.conv;
  const GatheredTiles t = tiling<true>(s);
  pack_channels(s, weights, packed);
  const std::int64_t taps = s.kernel_h * s.kernel_w;
  pack_strips<BytesInTiles>(t.out_blocks, t.steps, packed_channels(packed, s.out_channels).weight,
                            [&](std::int64_t output, std::int64_t step, std::int64_t input) -> std::int16_t {
                              const std::int64_t entry = step * kStepEntries + input / kIntegerBlock;
                              const std::int64_t c = entry / taps * kIntegerBlock + input % kIntegerBlock;
                              if (entry >= entries(s) || c >= s.in_channels || output >= s.out_channels) return 0;
                              return weights.weight[(output * s.in_channels + c) * taps + entry % taps];
                            });
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
