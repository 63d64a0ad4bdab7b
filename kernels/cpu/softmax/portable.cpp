// Softmax over the middle dimension of [outer, size, inner], up to 64 neighbours of `inner` at a time.
#include <cmath>

#include "kernels/cpu/softmax/softmax.h"
#include "kernels/cpu/tiling.h"

namespace konv {
namespace {

constexpr std::int64_t kWidth = 64;

/// "Planes" are the outer index, "rows" the blocks of `inner`; an exponential is worth some 16 elements.
PlaneTiles tiles(const SoftmaxShape& s) {
  return tile_planes(s.outer, (s.inner + kWidth - 1) / kWidth, 16 * s.size * smaller(s.inner, kWidth), 4 * kChunkElements);
}

/// `width` softmaxes side by side; elements of one lie `step` apart.
void softmax_block(const float* in, float* out, std::int64_t size, std::int64_t step, std::int64_t width, bool log) {
  float largest[kWidth], sum[kWidth];
  for (std::int64_t j = 0; j < width; ++j) {
    largest[j] = in[j];
    sum[j] = 0;
  }
  for (std::int64_t i = 1; i < size; ++i) {
    for (std::int64_t j = 0; j < width; ++j) largest[j] = largest[j] < in[i * step + j] ? in[i * step + j] : largest[j];
  }
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = 0; j < width; ++j) {
      const float x = in[i * step + j] - largest[j], e = std::exp(x);
      out[i * step + j] = log ? x : e;
      sum[j] += e;
    }
  }
  if (log) {
    for (std::int64_t j = 0; j < width; ++j) sum[j] = std::log(sum[j]);
    for (std::int64_t i = 0; i < size; ++i) {
      for (std::int64_t j = 0; j < width; ++j) out[i * step + j] -= sum[j];
    }
    return;
  }
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = 0; j < width; ++j) out[i * step + j] /= sum[j];
  }
}

std::int64_t chunks(const SoftmaxShape& s) { return s.size == 0 ? 0 : tiles(s).count(); }
std::size_t workspace(const SoftmaxShape&) { return 0; }

void run(const SoftmaxArgs& args, std::int64_t chunk, void*) {
  const SoftmaxShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const std::int64_t blocks = (s.inner + kWidth - 1) / kWidth;
  const Range outer = piece(s.outer, t.planes_per_chunk, chunk / t.row_chunks);
  const Range part = piece(blocks, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t o = outer.begin; o < outer.end; ++o) {
    for (std::int64_t b = part.begin; b < part.end; ++b) {
      const Range inner = piece(s.inner, kWidth, b);
      const std::int64_t at = o * s.size * s.inner + inner.begin;
      softmax_block(args.in.f32() + at, args.out.f32() + at, s.size, s.inner, inner.size(), s.log);
    }
  }
}

}  // namespace

extern const SoftmaxCode softmax_f32_code;
const SoftmaxCode softmax_f32_code = {chunks, workspace, run};

}  // namespace konv
