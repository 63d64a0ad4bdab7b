// One of two operands, element by element.
#include "kernels/cpu/copy/element.h"
#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_select_size(const SelectShape& s) { return refuse_bytes(s.element_bytes); }

double cost_select(const SelectShape& s, const Machine& m) {
  return stream_seconds(static_cast<double>(s.count * (3 * s.element_bytes + 1)), m) + kNaiveSeconds * static_cast<double>(s.count) +
         kCallSeconds;
}

std::int64_t chunks(const SelectShape& s) { return flat_chunks(s.count); }
std::size_t workspace(const SelectShape&) { return 0; }

void run(const SelectArgs& args, std::int64_t chunk, void*) {
  const StridedLoop<4> loop = collapse<4>({&args.out, &args.condition, &args.a, &args.b});
  const Range range = piece(args.shape.count, kChunkElements, chunk);
  with_element(args.shape.element_bytes, [&](auto element) {
    using T = decltype(element);
    const auto* condition = static_cast<const std::uint8_t*>(args.condition.data);
    const T *a = static_cast<const T*>(args.a.data), *b = static_cast<const T*>(args.b.data);
    T* out = static_cast<T*>(args.out.data);
    for_runs(loop, range.begin, range.end, [&](const std::int64_t* at, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) {
        const bool first = condition[at[1] + i * loop.step(1)] != 0;
        out[at[0] + i * loop.step(0)] = first ? a[at[2] + i * loop.step(2)] : b[at[3] + i * loop.step(3)];
      }
    });
  });
}

extern const SelectCode select_strided_code;
const SelectCode select_strided_code = {chunks, workspace, run};

}  // namespace

std::span<const SelectKernel> select_kernels() {
  static const SelectKernel kernels[] = {
#define KONV_SELECT(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/eltwise/select_kernels.inc"
#undef KONV_SELECT
  };
  return kernels;
}

}  // namespace konv
