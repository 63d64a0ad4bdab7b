// Functions of two float32 operands with broadcasting. Minimum and maximum hand on NaN, as NumPy's do.
#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const BinaryCode KONV_ISA_CODE(binary_f32);

namespace KONV_ISA {
namespace {

struct Operand {
  const float* data;
  std::int64_t step;
};

/// Dense and broadcast operands get loops of their own; `out` may be an operand.
template <class F>
void combine(Operand a, Operand b, float* out, std::int64_t out_step, std::int64_t n, const F& f) {
  if (out_step == 1 && a.step == 1 && b.step == 1) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) out[i] = f(a.data[i], b.data[i]);
  } else if (out_step == 1 && a.step == 1 && b.step == 0) {
    const float y = b.data[0];
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) out[i] = f(a.data[i], y);
  } else if (out_step == 1 && a.step == 0 && b.step == 1) {
    const float x = a.data[0];
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) out[i] = f(x, b.data[i]);
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i * out_step] = f(a.data[i * a.step], b.data[i * b.step]);
  }
}

/// add and relu, the end of a residual block, is one pass.
template <class F>
void combine(const BinaryArgs& args, Operand a, Operand b, float* out, std::int64_t out_step, std::int64_t n, const F& f) {
  if (args.activation.kind == ActivationKind::relu) {
    return combine(a, b, out, out_step, n, [&](float x, float y) {
      const float z = f(x, y);
      return z < 0 ? 0.0f : z;
    });
  }
  combine(a, b, out, out_step, n, f);
  if (args.activation.kind == ActivationKind::none) return;
  if (out_step == 1) return activate(args.activation, out, out, n);
  for (std::int64_t i = 0; i < n; ++i) activate(args.activation, out + i * out_step, out + i * out_step, 1);
}

std::int64_t chunks(const BinaryShape& s) { return flat_chunks(s.count); }
std::size_t workspace(const BinaryShape&) { return 0; }

void run(const BinaryArgs& args, std::int64_t chunk, void*) {
  const StridedLoop<3> loop = collapse<3>({&args.out, &args.a, &args.b});
  const Range range = piece(args.shape.count, kChunkElements, chunk);
  for_runs(loop, range.begin, range.end, [&](const std::int64_t* at, std::int64_t n) {
    const Operand a{args.a.f32() + at[1], loop.step(1)}, b{args.b.f32() + at[2], loop.step(2)};
    float* out = args.out.f32() + at[0];
    switch (args.shape.kind) {
      case Arithmetic::add: return combine(args, a, b, out, loop.step(0), n, [](float x, float y) { return x + y; });
      case Arithmetic::sub: return combine(args, a, b, out, loop.step(0), n, [](float x, float y) { return x - y; });
      case Arithmetic::mul: return combine(args, a, b, out, loop.step(0), n, [](float x, float y) { return x * y; });
      case Arithmetic::div: return combine(args, a, b, out, loop.step(0), n, [](float x, float y) { return x / y; });
      case Arithmetic::min: return combine(args, a, b, out, loop.step(0), n, [](float x, float y) { return y < x || y != y ? y : x; });
      case Arithmetic::max: return combine(args, a, b, out, loop.step(0), n, [](float x, float y) { return x < y || y != y ? y : x; });
      case Arithmetic::prelu: return combine(args, a, b, out, loop.step(0), n, [](float x, float y) { return x < 0 ? x * y : x; });
      case Arithmetic::pow:
      case Arithmetic::equal:
      case Arithmetic::less:
      case Arithmetic::greater: return;  // refused
    }
  });
}

}  // namespace
}  // namespace KONV_ISA

const BinaryCode KONV_ISA_CODE(binary_f32) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
