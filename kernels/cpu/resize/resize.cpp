// Row by row: for every combination of taps of the outer dimensions, one pass along the last one.
#include "kernels/cpu/resize/resize.h"

#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"
#include "kernels/cpu/typed.h"

namespace konv {
namespace {

const char* refuse_resize_packed(const ResizeShape& s) { return refuse_packed(s.dtype); }

double cost_resize(const ResizeShape& s, const Machine& m) {
  const auto count = static_cast<double>(s.rows * s.width);
  return stream_seconds(8 * count, m) + 0.5 * kNaiveSeconds * count * static_cast<double>(s.taps) + kCallSeconds;
}

std::int64_t per_chunk(const ResizeShape& s) { return larger(1, kChunkElements / larger(1, s.width * s.taps)); }
std::int64_t chunks(const ResizeShape& s) { return s.width == 0 ? 0 : flat_chunks(s.rows, per_chunk(s)); }
std::size_t workspace(const ResizeShape& s) { return static_cast<std::size_t>(s.width) * sizeof(double); }

/// One output row: where it lies and how its outer taps combine.
class Row {
 public:
  Row(const ResizeArgs& args, std::int64_t row) : args_(args), last_(args.out.rank - 1) {
    for (int d = last_ - 1; d >= 0; --d) {
      place_[d] = row % args.out.dims[d];
      row /= args.out.dims[d];
      const ResizeAxisArgs& axis = args.axes[d];
      outside_ = outside_ || (axis.outside && axis.outside[place_[d]]);
    }
  }

  bool outside() const { return outside_; }

  /// Calls f(offset of the input row, weight) for every combination of outer taps.
  template <class F>
  void for_rows(const F& f) const {
    combine(0, 0, 1.0, f);
  }

 private:
  template <class F>
  void combine(int d, std::int64_t offset, double weight, const F& f) const {
    if (d == last_) return f(offset, weight);
    const ResizeAxisArgs& axis = args_.axes[d];
    for (std::int64_t t = 0; t < axis.taps; ++t) {
      const std::int64_t at = place_[d] * axis.taps + t;
      const double factor = axis.weight ? axis.weight[at] : 1.0;
      if (factor != 0) combine(d + 1, offset + axis.index[at] * args_.in.strides[d], weight * factor, f);
    }
  }

  const ResizeArgs& args_;
  int last_;
  std::int64_t place_[kMaxRank] = {};
  bool outside_ = false;
};

template <class Type>
void run_row(const ResizeArgs& args, std::int64_t row, double* sums) {
  using Stored = typename Type::Stored;
  using T = typename Type::Compute;
  const ResizeShape& s = args.shape;
  const ResizeAxisArgs& x = args.axes[args.out.rank - 1];
  const auto* in = static_cast<const Stored*>(args.in.data);
  auto* out = static_cast<Stored*>(args.out.data) + row * s.width;
  const Row where(args, row);
  const auto fill = Type::store(static_cast<T>(args.extrapolation));
  if (where.outside()) {
    for (std::int64_t i = 0; i < s.width; ++i) out[i] = fill;
    return;
  }
  if (s.taps == 1) {  // copied, whatever the type holds
    where.for_rows([&](std::int64_t offset, double) {
      for (std::int64_t i = 0; i < s.width; ++i) out[i] = x.outside && x.outside[i] ? fill : in[offset + x.index[i]];
    });
    return;
  }
  for (std::int64_t i = 0; i < s.width; ++i) sums[i] = 0;
  where.for_rows([&](std::int64_t offset, double weight) {
    for (std::int64_t i = 0; i < s.width; ++i) {
      double sum = 0;
      for (std::int64_t t = i * x.taps; t < (i + 1) * x.taps; ++t) {
        sum += (x.weight ? x.weight[t] : 1.0) * static_cast<double>(Type::load(in[offset + x.index[t]]));
      }
      sums[i] += weight * sum;
    }
  });
  for (std::int64_t i = 0; i < s.width; ++i) out[i] = x.outside && x.outside[i] ? fill : Type::store(static_cast<T>(sums[i]));
}

void run(const ResizeArgs& args, std::int64_t chunk, void* workspace) {
  const Range rows = piece(args.shape.rows, per_chunk(args.shape), chunk);
  with_type(args.shape.dtype, [&](auto type) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) run_row<decltype(type)>(args, row, static_cast<double*>(workspace));
  });
}

extern const ResizeCode resize_rows_code;
const ResizeCode resize_rows_code = {chunks, workspace, run};

}  // namespace

std::span<const ResizeKernel> resize_kernels() {
  static const ResizeKernel kernels[] = {
#define KONV_RESIZE(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/resize/resize_kernels.inc"
#undef KONV_RESIZE
  };
  return kernels;
}

}  // namespace konv
