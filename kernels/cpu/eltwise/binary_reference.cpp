// Arithmetic element by element, for every type.
#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"

namespace konv {
namespace {

float compute(Arithmetic kind, float x, float y) {
  switch (kind) {
    case Arithmetic::add: return x + y;
    case Arithmetic::sub: return x - y;
    case Arithmetic::mul: return x * y;
    case Arithmetic::div: return x / y;
  }
  return 0;
}

/// Integers wrap around; division rounds towards zero, by zero it gives 0.
template <class Int, class Unsigned>
Int compute_integer(Arithmetic kind, Int x, Int y) {
  const auto a = static_cast<Unsigned>(x), b = static_cast<Unsigned>(y);
  switch (kind) {
    case Arithmetic::add: return static_cast<Int>(a + b);
    case Arithmetic::sub: return static_cast<Int>(a - b);
    case Arithmetic::mul: return static_cast<Int>(a * b);
    case Arithmetic::div: return y == 0 ? 0 : (y == -1 ? static_cast<Int>(0 - a) : x / y);
  }
  return 0;
}

template <class T, class F>
void combine(const BinaryArgs& args, std::int64_t chunk, const F& f) {
  const StridedLoop<3> loop = collapse<3>({&args.out, &args.a, &args.b});
  const Range range = piece(args.shape.count, kChunkElements, chunk);
  for_runs(loop, range.begin, range.end, [&](const std::int64_t* at, std::int64_t n) {
    T* out = static_cast<T*>(args.out.data) + at[0];
    const T* a = static_cast<const T*>(args.a.data) + at[1];
    const T* b = static_cast<const T*>(args.b.data) + at[2];
    for (std::int64_t i = 0; i < n; ++i) out[i * loop.step(0)] = f(a[i * loop.step(1)], b[i * loop.step(2)]);
  });
}

std::int64_t chunks(const BinaryShape& s) { return flat_chunks(s.count); }
std::size_t workspace(const BinaryShape&) { return 0; }

/// The activation is for floats.
void run(const BinaryArgs& args, std::int64_t chunk, void*) {
  const Arithmetic kind = args.shape.kind;
  switch (args.shape.dtype) {
    case DType::int32:
      return combine<std::int32_t>(args, chunk, [=](auto x, auto y) { return compute_integer<std::int32_t, std::uint32_t>(kind, x, y); });
    case DType::int64:
      return combine<std::int64_t>(args, chunk, [=](auto x, auto y) { return compute_integer<std::int64_t, std::uint64_t>(kind, x, y); });
    default: return combine<float>(args, chunk, [&](float x, float y) { return apply(args.activation, compute(kind, x, y)); });
  }
}

}  // namespace

extern const BinaryCode binary_reference_code;
const BinaryCode binary_reference_code = {chunks, workspace, run};

}  // namespace konv
