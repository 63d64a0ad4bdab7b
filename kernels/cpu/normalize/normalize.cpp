// Row by row in two passes: statistics in double, then the normalization.
#include "kernels/cpu/normalize/normalize.h"

#include <cmath>

#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_normalize_nothing(const NormalizeShape&) { return nullptr; }

double cost_normalize(const NormalizeShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.rows * s.size);
  return stream_seconds(8 * count, m) + kNaiveSeconds * count + kCallSeconds;
}

std::int64_t per_chunk(const NormalizeShape& s) { return larger(1, kChunkElements / larger(1, s.size)); }
std::int64_t chunks(const NormalizeShape& s) { return s.size == 0 ? 0 : flat_chunks(s.rows, per_chunk(s)); }
std::size_t workspace(const NormalizeShape&) { return 0; }

void normalize_row(const NormalizeArgs& args, std::int64_t row) {
  const NormalizeShape& s = args.shape;
  const float* in = args.in.f32() + row * s.size;
  float* out = args.out.f32() + row * s.size;
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < s.size; ++i) sum += static_cast<double>(in[i]);
  const double mean = sum / static_cast<double>(s.size);
  for (std::int64_t i = 0; i < s.size; ++i) squares += (static_cast<double>(in[i]) - mean) * (static_cast<double>(in[i]) - mean);
  const double scale = 1 / std::sqrt(squares / static_cast<double>(s.size) + static_cast<double>(args.epsilon));
  const std::int64_t channel = s.channels > 0 ? row % s.channels : 0, step = s.channels > 0 ? 0 : 1;
  for (std::int64_t i = 0; i < s.size; ++i) {
    const auto x = static_cast<float>((static_cast<double>(in[i]) - mean) * scale) * args.gamma[channel + i * step];
    out[i] = args.beta ? x + args.beta[channel + i * step] : x;
  }
}

void run(const NormalizeArgs& args, std::int64_t chunk, void*) {
  const Range rows = piece(args.shape.rows, per_chunk(args.shape), chunk);
  for (std::int64_t row = rows.begin; row < rows.end; ++row) normalize_row(args, row);
}

extern const NormalizeCode normalize_rows_f32_code;
const NormalizeCode normalize_rows_f32_code = {chunks, workspace, run};

}  // namespace

std::span<const NormalizeKernel> normalize_kernels() {
  static const NormalizeKernel kernels[] = {
#define KONV_NORMALIZE(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/normalize/normalize_kernels.inc"
#undef KONV_NORMALIZE
  };
  return kernels;
}

}  // namespace konv
