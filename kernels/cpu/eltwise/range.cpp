// Evenly spaced numbers. Every element is start + i delta, not the sum of the steps so far.
#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

const char* refuse_range_packed(const RangeShape& s) { return refuse_packed(s.dtype); }

double cost_range(const RangeShape& s, const Machine& m) {
  return stream_seconds(static_cast<double>(s.count * bits(s.dtype)) / 8, m) + kNaiveSeconds * static_cast<double>(s.count) + kCallSeconds;
}

std::int64_t chunks(const RangeShape& s) { return flat_chunks(s.count); }
std::size_t workspace(const RangeShape&) { return 0; }

void run(const RangeArgs& args, std::int64_t chunk, void*) {
  const Range range = piece(args.shape.count, kChunkElements, chunk);
  with_type(args.shape.dtype, [&](auto type) {
    using Type = decltype(type);
    using Stored = typename Type::Stored;
    using Compute = typename Type::Compute;
    const Compute start = Type::load(*static_cast<const Stored*>(args.start.data));
    const Compute delta = Type::load(*static_cast<const Stored*>(args.delta.data));
    auto* out = static_cast<Stored*>(args.out.data);
    for (std::int64_t i = range.begin; i < range.end; ++i) out[i] = Type::store(add(start, multiply(static_cast<Compute>(i), delta)));
  });
}

extern const RangeCode range_reference_code;
const RangeCode range_reference_code = {chunks, workspace, run};

}  // namespace

std::span<const RangeKernel> range_kernels() {
  static const RangeKernel kernels[] = {
#define KONV_RANGE(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/eltwise/range_kernels.inc"
#undef KONV_RANGE
  };
  return kernels;
}

}  // namespace konv
