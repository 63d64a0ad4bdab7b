// Local response normalization, a channel's plane at a time: the sum of squares of its neighbours, pixel by pixel.
#include <cmath>

#include "kernels/cpu/normalize/normalize.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_lrn_nothing(const LrnShape&) { return nullptr; }

double cost_lrn(const LrnShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.batch * s.channels * s.pixels);
  return stream_seconds(8 * count, m) + (20e-9 + static_cast<double>(s.size) / m.flops) * count + kCallSeconds;
}

constexpr std::int64_t kWidth = 256;

PlaneTiles tiles(const LrnShape& s) {
  return tile_planes(s.batch * s.channels, ceil_div(s.pixels, kWidth), kWidth * (s.size + 16), kChunkMacs / 2);
}
std::int64_t chunks(const LrnShape& s) { return tiles(s).count(); }
std::size_t workspace(const LrnShape&) { return 0; }

void run(const LrnArgs& args, std::int64_t chunk, void*) {
  const LrnShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range parts = piece(ceil_div(s.pixels, kWidth), t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const std::int64_t channel = p % s.channels, image = p - channel;
    const std::int64_t first = larger(0, channel - (s.size - 1) / 2), last = smaller(s.channels - 1, channel + s.size / 2);
    for (std::int64_t part = parts.begin; part < parts.end; ++part) {
      const Range pixels = piece(s.pixels, kWidth, part);
      float squares[kWidth] = {};
      for (std::int64_t c = first; c <= last; ++c) {
        const float* in = args.in.f32() + (image + c) * s.pixels + pixels.begin;
        for (std::int64_t i = 0; i < pixels.size(); ++i) squares[i] += in[i] * in[i];
      }
      const float* in = args.in.f32() + p * s.pixels + pixels.begin;
      float* out = args.out.f32() + p * s.pixels + pixels.begin;
      const float scale = args.alpha / static_cast<float>(s.size);
      for (std::int64_t i = 0; i < pixels.size(); ++i) out[i] = in[i] * std::pow(args.bias + scale * squares[i], -args.beta);
    }
  }
}

extern const LrnCode lrn_f32_code;
const LrnCode lrn_f32_code = {chunks, workspace, run};

}  // namespace

std::span<const LrnKernel> lrn_kernels() {
  static const LrnKernel kernels[] = {
#define KONV_LRN(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/normalize/lrn_kernels.inc"
#undef KONV_LRN
  };
  return kernels;
}

}  // namespace konv
