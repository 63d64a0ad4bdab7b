#include "kernels/cpu/topk/topk.h"

#include <algorithm>

#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

const char* refuse_topk_packed(const TopKShape& s) { return refuse_packed(s.dtype); }

double cost_topk(const TopKShape& s, const Machine&) {
  return 10 * kNaiveSeconds * static_cast<double>(s.outer * s.size * s.inner) + kCallSeconds;
}

std::int64_t per_chunk(const TopKShape& s) { return larger(1, kChunkElements / 8 / larger(1, s.size)); }
std::int64_t chunks(const TopKShape& s) { return s.k == 0 ? 0 : flat_chunks(s.outer * s.inner, per_chunk(s)); }
std::size_t workspace(const TopKShape& s) { return static_cast<std::size_t>(s.size) * sizeof(std::int64_t); }

void run(const TopKArgs& args, std::int64_t chunk, void* workspace) {
  const TopKShape& s = args.shape;
  const Range lines = piece(s.outer * s.inner, per_chunk(s), chunk);
  auto* order = static_cast<std::int64_t*>(workspace);
  with_type(s.dtype, [&](auto type) {
    using Type = decltype(type);
    using Stored = typename Type::Stored;
    for (std::int64_t line = lines.begin; line < lines.end; ++line) {
      const auto* in = static_cast<const Stored*>(args.in.data) + line / s.inner * s.size * s.inner + line % s.inner;
      for (std::int64_t i = 0; i < s.size; ++i) order[i] = i;
      std::partial_sort(order, order + s.k, order + s.size, [&](std::int64_t i, std::int64_t j) {
        const auto x = Type::load(in[i * s.inner]), y = Type::load(in[j * s.inner]);
        if constexpr (std::is_floating_point_v<typename Type::Compute>) {  // NaN is larger than any number
          if (std::isnan(x) != std::isnan(y)) return s.largest == std::isnan(x);
        }
        if (x < y || y < x) return s.largest ? y < x : x < y;
        return s.last_first ? i > j : i < j;
      });
      const std::int64_t to = line / s.inner * s.k * s.inner + line % s.inner;
      for (std::int64_t i = 0; i < s.k; ++i) {
        if (s.indices) {
          static_cast<std::int64_t*>(args.out.data)[to + i * s.inner] = order[i];
        } else {
          static_cast<Stored*>(args.out.data)[to + i * s.inner] = in[order[i] * s.inner];
        }
      }
    }
  });
}

extern const TopKCode topk_sort_code;
const TopKCode topk_sort_code = {chunks, workspace, run};

}  // namespace

std::span<const TopKKernel> topk_kernels() {
  static const TopKKernel kernels[] = {
#define KONV_TOPK(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/topk/topk_kernels.inc"
#undef KONV_TOPK
  };
  return kernels;
}

}  // namespace konv
