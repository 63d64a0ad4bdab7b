// Functions of two arguments, element by element, for every type.
#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

/// Integers to a power, wrapping around; 1 / x^n for negative powers is 0 but for x = 1 and -1.
template <class T>
T power(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::pow(x, y);
  } else {
    if (y < 0) return x == 1 ? T(1) : x == T(-1) ? (y % 2 ? T(-1) : T(1)) : T(0);
    T result = 1;
    for (; y > 0; y = static_cast<T>(y / 2), x = multiply(x, x)) {
      if (y % 2) result = multiply(result, x);
    }
    return result;
  }
}

/// Minimum and maximum of floats hand on NaN, as NumPy's do.
template <class T>
T compute(Arithmetic kind, T x, T y) {
  switch (kind) {
    case Arithmetic::add: return add(x, y);
    case Arithmetic::sub: return subtract(x, y);
    case Arithmetic::mul: return multiply(x, y);
    case Arithmetic::div: return divide(x, y);
    case Arithmetic::pow: return power(x, y);
    case Arithmetic::min: return y < x || y != y ? y : x;
    case Arithmetic::max: return x < y || y != y ? y : x;
    case Arithmetic::prelu: return x < 0 ? multiply(x, y) : x;
    case Arithmetic::equal:
    case Arithmetic::less:
    case Arithmetic::greater: break;
  }
  return 0;
}

template <class T>
bool compare(Arithmetic kind, T x, T y) {
  return kind == Arithmetic::equal ? x == y : kind == Arithmetic::less ? x < y : x > y;
}

template <class Stored, class Out, class F>
void combine(const BinaryArgs& args, std::int64_t chunk, const F& f) {
  const StridedLoop<3> loop = collapse<3>({&args.out, &args.a, &args.b});
  const Range range = piece(args.shape.count, kChunkElements, chunk);
  for_runs(loop, range.begin, range.end, [&](const std::int64_t* at, std::int64_t n) {
    Out* out = static_cast<Out*>(args.out.data) + at[0];
    const Stored* a = static_cast<const Stored*>(args.a.data) + at[1];
    const Stored* b = static_cast<const Stored*>(args.b.data) + at[2];
    for (std::int64_t i = 0; i < n; ++i) out[i * loop.step(0)] = f(a[i * loop.step(1)], b[i * loop.step(2)]);
  });
}

std::int64_t chunks(const BinaryShape& s) { return flat_chunks(s.count); }
std::size_t workspace(const BinaryShape&) { return 0; }

/// The activation is for floats.
void run(const BinaryArgs& args, std::int64_t chunk, void*) {
  const Arithmetic kind = args.shape.kind;
  with_type(args.shape.dtype, [&](auto type) {
    using Type = decltype(type);
    using Stored = typename Type::Stored;
    if (is_comparison(kind)) {
      return combine<Stored, std::uint8_t>(args, chunk,
                                           [=](Stored x, Stored y) { return std::uint8_t{compare(kind, Type::load(x), Type::load(y))}; });
    }
    combine<Stored, Stored>(args, chunk, [&](Stored x, Stored y) {
      const auto z = compute(kind, Type::load(x), Type::load(y));
      if constexpr (std::is_floating_point_v<typename Type::Compute>) return Type::store(apply(args.activation, z));
      return Type::store(z);
    });
  });
}

}  // namespace

extern const BinaryCode binary_reference_code;
const BinaryCode binary_reference_code = {chunks, workspace, run};

}  // namespace konv
