// Reductions as their formulas say, for every kind and type. Floats are summed in double, integers in 64 bits; over nothing a sum is 0, a product 1, a
// maximum the lowest and a minimum the highest number.
#include "kernels/cpu/reduce/reduce.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

TensorView tail(const TensorView& in, int first, int rank) {
  TensorView v;
  v.rank = rank;
  for (int d = 0; d < rank; ++d) {
    v.dims[d] = in.dims[first + d];
    v.strides[d] = in.strides[first + d];
  }
  return v;
}

template <class T>
using Sum = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;

/// each(f) calls f(x) for every element.
template <class T, class Each>
T reduce(Reduction kind, std::int64_t count, const Each& each) {
  if (kind == Reduction::max || kind == Reduction::min) {
    T best = kind == Reduction::max ? lowest_of<T>() : highest_of<T>();
    each([&](T x) { best = (kind == Reduction::max ? best < x : x < best) || x != x ? x : best; });
    return best;
  }
  Sum<T> sum = kind == Reduction::prod ? 1 : 0;
  if (kind == Reduction::log_sum_exp) {  // the largest one first: exponentials overflow
    double largest = -std::numeric_limits<double>::infinity(), exponentials = 0;
    each([&](T x) { largest = largest < static_cast<double>(x) ? static_cast<double>(x) : largest; });
    if (!(std::fabs(largest) < std::numeric_limits<double>::infinity())) return static_cast<T>(largest);
    each([&](T x) { exponentials += std::exp(static_cast<double>(x) - largest); });
    return static_cast<T>(largest + std::log(exponentials));
  }
  each([&](T element) {
    const auto x = static_cast<Sum<T>>(element);
    switch (kind) {
      case Reduction::prod: sum = multiply(sum, x); break;
      case Reduction::l1: sum = add(sum, x < 0 ? subtract(Sum<T>(0), x) : x); break;
      case Reduction::l2:
      case Reduction::sum_square: sum = add(sum, multiply(x, x)); break;
      default: sum = add(sum, x);
    }
  });
  switch (kind) {
    case Reduction::mean:
      if constexpr (std::is_floating_point_v<T>) return static_cast<T>(sum / static_cast<double>(count));
      return static_cast<T>(divide(sum, static_cast<Sum<T>>(count)));
    case Reduction::l2: return static_cast<T>(std::sqrt(static_cast<double>(sum)));
    case Reduction::log_sum: return static_cast<T>(std::log(static_cast<double>(sum)));
    default: return static_cast<T>(sum);
  }
}

std::int64_t per_chunk(const ReduceShape& s) { return larger(1, kChunkElements / larger(1, s.reduced)); }
std::int64_t chunks(const ReduceShape& s) { return flat_chunks(s.outputs, per_chunk(s)); }
std::size_t workspace(const ReduceShape&) { return 0; }

void run(const ReduceArgs& args, std::int64_t chunk, void*) {
  const int kept = args.out.rank;
  const TensorView outer = tail(args.in, 0, kept), inner = tail(args.in, kept, args.in.rank - kept);
  const StridedLoop<2> loop = collapse<2>({&args.out, &outer});
  const StridedLoop<1> runs = collapse<1>({&inner});
  const Range outputs = piece(args.shape.outputs, per_chunk(args.shape), chunk);
  with_type(args.shape.dtype, [&](auto type) {
    using Type = decltype(type);
    using T = typename Type::Compute;
    const auto* in = static_cast<const typename Type::Stored*>(args.in.data);
    auto* out = static_cast<typename Type::Stored*>(args.out.data);
    for_runs(loop, outputs.begin, outputs.end, [&](const std::int64_t* at, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) {
        const auto* from = in + at[1] + i * loop.step(1);
        const T result = reduce<T>(args.shape.kind, args.shape.reduced, [&](const auto& f) {
          for_runs(runs, 0, args.shape.reduced, [&](const std::int64_t* offset, std::int64_t length) {
            for (std::int64_t j = 0; j < length; ++j) f(Type::load(from[offset[0] + j * runs.step(0)]));
          });
        });
        out[at[0] + i * loop.step(0)] = Type::store(args.shape.dtype == DType::boolean ? static_cast<T>(result != 0) : result);
      }
    });
  });
}

}  // namespace

extern const ReduceCode reduce_reference_code;
const ReduceCode reduce_reference_code = {chunks, workspace, run};

}  // namespace konv
