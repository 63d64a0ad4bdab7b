// Functions of one argument, element by element, for every type. Integers know relu, clip, abs and neg.
#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

template <class T>
T compute(const Activation& a, T x) {
  if constexpr (std::is_floating_point_v<T>) {
    return apply(a, x);
  } else {
    switch (a.kind) {
      case ActivationKind::relu: return x < 0 ? T(0) : x;
      case ActivationKind::abs: return x < 0 ? subtract(T(0), x) : x;
      case ActivationKind::neg: return subtract(T(0), x);
      case ActivationKind::clip: {
        const auto y = static_cast<double>(x) < static_cast<double>(a.alpha) ? static_cast<T>(a.alpha) : x;
        return static_cast<double>(y) > static_cast<double>(a.beta) ? static_cast<T>(a.beta) : y;
      }
      default: return x;
    }
  }
}

std::int64_t chunks(const UnaryShape& s) { return flat_chunks(s.count); }
std::size_t workspace(const UnaryShape&) { return 0; }

void run(const UnaryArgs& args, std::int64_t chunk, void*) {
  const StridedLoop<2> loop = collapse<2>({&args.in, &args.out});
  const Range range = piece(args.shape.count, kChunkElements, chunk);
  with_type(args.shape.dtype, [&](auto type) {
    using Type = decltype(type);
    const auto* in = static_cast<const typename Type::Stored*>(args.in.data);
    auto* out = static_cast<typename Type::Stored*>(args.out.data);
    for_runs(loop, range.begin, range.end, [&](const std::int64_t* at, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i)
        out[at[1] + i * loop.step(1)] = Type::store(compute(args.shape.function, Type::load(in[at[0] + i * loop.step(0)])));
    });
  });
}

}  // namespace

extern const UnaryCode unary_reference_code;
const UnaryCode unary_reference_code = {chunks, workspace, run};

}  // namespace konv
