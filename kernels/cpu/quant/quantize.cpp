// Element by element, for every type.
#include "kernels/cpu/quant/packed.h"
#include "kernels/cpu/quant/quant.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_quantize_nothing(const QuantizeShape&) { return nullptr; }

double cost_quantize(const QuantizeShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.outer * s.size * s.inner);
  return stream_seconds(5 * count, m) + 5 * kNaiveSeconds * count + kCallSeconds;
}

// Chunks are whole bytes of every packed type.
static_assert(kChunkElements % 4 == 0);
std::int64_t chunks(const QuantizeShape& s) { return flat_chunks(s.outer * s.size * s.inner); }
std::size_t workspace(const QuantizeShape&) { return 0; }

std::int64_t scale_index(const QuantizeShape& s, std::int64_t i) {
  if (!s.per_axis && s.block == 0) return 0;
  const std::int64_t at = i / s.inner % s.size;
  if (s.block == 0) return at;
  return (i / s.inner / s.size * ceil_div(s.size, s.block) + at / s.block) * s.inner + i % s.inner;
}

void run(const QuantizeArgs& args, std::int64_t chunk, void*) {
  const QuantizeShape& s = args.shape;
  const Range range = piece(s.outer * s.size * s.inner, kChunkElements, chunk);
  const double low = s.dequantize ? 0 : lowest_integer(s.out), high = s.dequantize ? 0 : highest_integer(s.out);
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    const std::int64_t at = scale_index(s, i);
    const auto scale = static_cast<float>(element_at(s.scale, args.scale.data, at));
    const double zero = args.zero.data ? element_at(args.zero.dtype, args.zero.data, at) : 0;
    const double x = element_at(s.in, args.in.data, i);
    if (s.dequantize) {
      put_element(s.out, args.out.data, i, static_cast<double>(static_cast<float>(x - zero) * scale));
      continue;
    }
    const double rounded = std::nearbyint(static_cast<double>(static_cast<float>(x) / scale)) + zero;
    put_element(s.out, args.out.data, i, rounded >= low ? (rounded <= high ? rounded : high) : low);
  }
}

extern const QuantizeCode quantize_reference_code;
const QuantizeCode quantize_reference_code = {chunks, workspace, run};

}  // namespace

std::span<const QuantizeKernel> quantize_kernels() {
  static const QuantizeKernel kernels[] = {
#define KONV_QUANTIZE(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/quant/quantize_kernels.inc"
#undef KONV_QUANTIZE
  };
  return kernels;
}

}  // namespace konv
