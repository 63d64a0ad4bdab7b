// Functions of one argument, any strides.
#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const UnaryCode KONV_ISA_CODE(unary_f32);

namespace KONV_ISA {
namespace {

std::int64_t chunks(const UnaryShape& s) { return flat_chunks(s.count); }
std::size_t workspace(const UnaryShape&) { return 0; }

void apply_strided(const Activation& function, const float* in, std::int64_t in_step, float* out, std::int64_t out_step, std::int64_t n) {
  float part[64];
  for (std::int64_t begin = 0; begin < n; begin += 64) {
    const std::int64_t count = smaller(64, n - begin);
    for (std::int64_t i = 0; i < count; ++i) part[i] = in[(begin + i) * in_step];
    activate(function, part, part, count);
    for (std::int64_t i = 0; i < count; ++i) out[(begin + i) * out_step] = part[i];
  }
}

void run(const UnaryArgs& args, std::int64_t chunk, void*) {
  const StridedLoop<2> loop = collapse<2>({&args.in, &args.out});
  const Range range = piece(args.shape.count, kChunkElements, chunk);
  const std::int64_t in_step = loop.step(0), out_step = loop.step(1);
  for_runs(loop, range.begin, range.end, [&](const std::int64_t* at, std::int64_t n) {
    const float* in = args.in.f32() + at[0];
    float* out = args.out.f32() + at[1];
    if (in_step == 1 && out_step == 1) {
      activate(args.shape.function, in, out, n);
    } else {
      apply_strided(args.shape.function, in, in_step, out, out_step, n);
    }
  });
}

}  // namespace
}  // namespace KONV_ISA

const UnaryCode KONV_ISA_CODE(unary_f32) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
