// Reductions, output by output. The reduced dimensions are walked in runs; a contiguous run (global average pooling) is added up in vectors.
// Where neighbouring outputs come from neighbouring inputs (blocked images), a vector is as many outputs.
// The order of the sums depends on sizes and strides alone.
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/reduce/reduce.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const ReduceCode KONV_ISA_CODE(reduce_f32);

namespace KONV_ISA {
namespace {

struct Add {
  static constexpr float start = 0;
  template <class T>
  static T join(T a, T b) {
    return a + b;
  }
};

struct Larger {
  static constexpr float start = -__builtin_inff();
  template <class T>
  static T join(T a, T b) {
    return a < b ? b : a;
  }
};

struct Smaller {
  static constexpr float start = __builtin_inff();
  template <class T>
  static T join(T a, T b) {
    return b < a ? b : a;
  }
};

template <class Op>
float reduce_run(const float* in, std::int64_t step, std::int64_t n) {
  float result = Op::start;
  std::int64_t i = 0;
  if (step == 1 && n >= kLanes) {
    Vector part[4];
    for (int v = 0; v < 4; ++v) part[v] = broadcast(Op::start);
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) part[v] = Op::join(part[v], load(in + i + v * kLanes));
    }
    for (; i + kLanes <= n; i += kLanes) part[0] = Op::join(part[0], load(in + i));
    float lanes[kLanes];
    store(lanes, Op::join(Op::join(part[0], part[1]), Op::join(part[2], part[3])));
    for (int v = 0; v < kLanes; ++v) result = Op::join(result, lanes[v]);
  }
  for (; i < n; ++i) result = Op::join(result, in[i * step]);
  return result;
}

/// The dimensions of `in` from `first` on.
TensorView tail(const TensorView& in, int first, int rank) {
  TensorView v;
  v.rank = rank;
  for (int d = 0; d < rank; ++d) {
    v.dims[d] = in.dims[first + d];
    v.strides[d] = in.strides[first + d];
  }
  return v;
}

std::int64_t per_chunk(const ReduceShape& s) { return larger(1, kChunkElements / larger(1, s.reduced)); }
std::int64_t chunks(const ReduceShape& s) { return flat_chunks(s.outputs, per_chunk(s)); }
std::size_t workspace(const ReduceShape&) { return 0; }

template <class Op>
void reduce(const ReduceArgs& args, Range outputs, float scale) {
  const int kept = args.out.rank;
  const TensorView outer = tail(args.in, 0, kept), inner = tail(args.in, kept, args.in.rank - kept);
  const StridedLoop<2> loop = collapse<2>({&args.out, &outer});
  const StridedLoop<1> runs = collapse<1>({&inner});
  for_runs(loop, outputs.begin, outputs.end, [&](const std::int64_t* at, std::int64_t n) {
    std::int64_t i = 0;
    if (loop.step(1) == 1 && loop.step(0) == 1) {  // outputs side by side
      for (; i + kLanes <= n; i += kLanes) {
        Vector result = broadcast(Op::start);
        for_runs(runs, 0, args.shape.reduced, [&](const std::int64_t* offset, std::int64_t length) {
          const float* in = args.in.f32() + at[1] + i + offset[0];
          for (std::int64_t j = 0; j < length; ++j) result = Op::join(result, load(in + j * runs.step(0)));
        });
        store(args.out.f32() + at[0] + i, result * scale);
      }
    }
    for (; i < n; ++i) {
      const float* in = args.in.f32() + at[1] + i * loop.step(1);
      float result = Op::start;
      for_runs(runs, 0, args.shape.reduced, [&](const std::int64_t* offset, std::int64_t length) {
        result = Op::join(result, reduce_run<Op>(in + offset[0], runs.step(0), length));
      });
      args.out.f32()[at[0] + i * loop.step(0)] = result * scale;
    }
  });
}

void run(const ReduceArgs& args, std::int64_t chunk, void*) {
  const Range outputs = piece(args.shape.outputs, per_chunk(args.shape), chunk);
  switch (args.shape.kind) {
    case Reduction::mean: return reduce<Add>(args, outputs, 1.0f / static_cast<float>(args.shape.reduced));
    case Reduction::sum: return reduce<Add>(args, outputs, 1.0f);
    case Reduction::max: return reduce<Larger>(args, outputs, 1.0f);
    case Reduction::min: return reduce<Smaller>(args, outputs, 1.0f);
    default: return;  // refused
  }
}

}  // namespace
}  // namespace KONV_ISA

const ReduceCode KONV_ISA_CODE(reduce_f32) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
