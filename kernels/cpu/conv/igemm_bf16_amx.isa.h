// Convolution on blocked images by tile registers (../amx.h): the inputs of a chunk's pixels are rounded to bfloat16 and gathered into rows of 64 bytes, two
// entries of panels.h each.
#include "kernels/cpu/amx.h"
#include "kernels/cpu/bfloat16.h"
#include "kernels/cpu/conv/blocked_tile.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/panels.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_igemm_bf16);

namespace KONV_ISA {
namespace {

inline constexpr std::int64_t kStepEntries = 2;

/// One block of input channels at one tap each.
std::int64_t entries(const ConvShape& s) { return ceil_div(s.in_channels, kLanes) * s.kernel_h * s.kernel_w; }

template <bool Alone>
GatheredTiles tiling(const ConvShape& s) {
  return gathered_tiles(s.batch * s.out_pixels(), ceil_div(entries(s), kStepEntries), s.out_channels, Alone);
}

/// A as [step][pixel][32 inputs]. An entry that does not exist is zeros, since its weights of 0 times a NaN would be one.
void gather(const float* in, const Place* places, std::int64_t pixels, const std::int64_t* offsets, std::int64_t entries, std::uint8_t* a) {
  for (std::int64_t e = 0; e < entries; e += kStepEntries) {
    const float *first = in + offsets[e], *second = in + offsets[e + 1];
#if defined(__AVX512BF16__)
    const __mmask16 exists = e + 1 < entries ? 0xFFFF : 0;
    for (std::int64_t p = 0; p < pixels; ++p, a += kRowBytes) {
      const __m512 low = _mm512_loadu_ps(first + places[p].in), high = _mm512_maskz_loadu_ps(exists, second + places[p].in);
      const __m512bh rounded = _mm512_cvtne2ps_pbh(high, low);
      std::memcpy(a, &rounded, sizeof rounded);
    }
#else
    for (std::int64_t p = 0; p < pixels; ++p, a += kRowBytes) {
      round_pairs(first + places[p].in, reinterpret_cast<Pair*>(a));
      if (e + 1 < entries) round_pairs(second + places[p].in, reinterpret_cast<Pair*>(a) + kLanes / 2);
    }
#endif
  }
}

/// A chunk's part of the workspace.
struct Workspace {
  std::uint8_t* gathered;
  float* sums;
  Place* places;
  std::int64_t *offsets, *steps;
};

Workspace divide(const GatheredTiles& t, Cutter& cutter) {
  return {cutter.cut<std::uint8_t>((t.pixels_per_chunk * t.steps + 2 * kRows) * kRowBytes), cutter.cut<float>(2 * kStripSums),
          cutter.cut<Place>(t.pixels_per_chunk), cutter.cut<std::int64_t>(t.steps * kStepEntries + 1), cutter.cut<std::int64_t>(t.steps)};
}

template <int Blocks>
void run_strip(const ConvArgs& args, const GatheredTiles& t, const Workspace& at, std::int64_t strip, std::int64_t pixels) {
  const std::int64_t first_block = strip * kStripBlocks, channels = args.shape.out_channels - first_block * kLanes;
  const Biases<Blocks> bias(args.bias, first_block * kLanes, args.shape.out_channels);
  const auto* weight = static_cast<const std::uint8_t*>(args.weight) + first_block * t.steps * kWeightTile;
  float* out = args.out.f32() + first_block * args.out.strides[1];
  const float* residual = args.residual.data ? args.residual.f32() + first_block * args.residual.strides[1] : nullptr;
  const Bounds bounds(args.activation);
  const bool done = Bounds::suffice(args.activation);
  multiply_gathered<HalvesInTiles, Blocks>(t, pixels, at.gathered, at.steps, weight, bias.at, at.sums,
                                           [&](const float* sums, std::int64_t first, std::int64_t count) {
                                             for (std::int64_t p = first; p < first + count; ++p) {
                                               for (int b = 0; b < Blocks; ++b, sums += kLanes) {
                                                 Vector x = load(sums);
                                                 if (residual) x += load(residual + at.places[p].residual + b * args.residual.strides[1]);
                                                 float* to = out + at.places[p].out + b * args.out.strides[1];
                                                 store(to, bounds.apply(x));
                                                 if (!done) activate_blocked(args.activation, to, 1, channels - b * kLanes);
                                               }
                                             }
                                           });
}

template <bool Alone>
std::int64_t chunks(const ConvShape& s) {
  return tiling<Alone>(s).chunks();
}

template <bool Alone>
std::size_t workspace(const ConvShape& s) {
  return workspace_bytes(tiling<Alone>(s), divide);
}

template <bool Alone>
void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const GatheredTiles t = tiling<Alone>(s);
  Cutter cutter{static_cast<char*>(workspace)};
  const Workspace at = divide(t, cutter);
  const Range pixels = t.chunk_pixels(chunk), strips = t.chunk_strips(chunk);
  set_places(s, args.in, args.out, args.residual, pixels, at.places);
  set_offsets(s, args.in, kLanes, at.offsets);
  for (std::int64_t step = 0; step < t.steps; ++step) at.steps[step] = step * pixels.size() * kRowBytes;
  gather(args.in.f32(), at.places, pixels.size(), at.offsets, entries(s), at.gathered);
  const UsingTiles tiles(tile_rows(pixels.size()));
  each_strip(strips, t.out_blocks, [&]<int Blocks>(std::int64_t strip) { run_strip<Blocks>(args, t, at, strip, pixels.size()); });
}

std::size_t packed_bytes(const ConvShape& s) {
  const GatheredTiles t = tiling<true>(s);
  return static_cast<std::size_t>(t.out_blocks * t.steps * kWeightTile);
}

void pack(const ConvShape& s, const float* weight, void* packed) {
  const GatheredTiles t = tiling<true>(s);
  const std::int64_t taps = s.kernel_h * s.kernel_w;
  pack_strips<HalvesInTiles>(t.out_blocks, t.steps, packed,
                             [&](std::int64_t output, std::int64_t step, std::int64_t input) -> std::uint16_t {
                               const std::int64_t entry = step * kStepEntries + input / kLanes, c = entry / taps * kLanes + input % kLanes;
                               if (entry >= entries(s) || c >= s.in_channels || output >= s.out_channels) return 0;
                               return bfloat16_from_float(weight[(output * s.in_channels + c) * taps + entry % taps]);
                             });
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_igemm_bf16) = {{KONV_ISA::chunks<false>, KONV_ISA::workspace<false>, KONV_ISA::run<false>},
                                                 KONV_ISA::kLanes,
                                                 KONV_ISA::kLanes,
                                                 padding_halo,
                                                 KONV_ISA::packed_bytes,
                                                 KONV_ISA::pack,
                                                 {KONV_ISA::chunks<true>, KONV_ISA::workspace<true>, KONV_ISA::run<true>},
                                                 {},
                                                 1,
                                                 DType::bfloat16,
                                                 DType::bfloat16};

}  // namespace konv
