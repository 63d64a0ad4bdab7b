// The reference runner's arithmetic: matrices, normalization, elementwise functions, reductions, conversions.
#include <algorithm>
#include <cmath>
#include <konv/error.hpp>
#include <limits>

#include "tests/support/reference_ops.h"

namespace konv::test {

Data run_op(const Gemm& op, const Inputs& in) {
  const Data &a = *in[Gemm::kA], &b = *in[Gemm::kB];
  const Data* c = input(in, Gemm::kC);
  const std::int64_t rows = a.dim(op.transpose_a ? 1 : 0), inner = a.dim(op.transpose_a ? 0 : 1), columns = b.dim(op.transpose_b ? 0 : 1);
  Data y = real_data({rows, columns});
  for (std::int64_t m = 0; m < rows; ++m) {
    for (std::int64_t n = 0; n < columns; ++n) {
      double sum = 0;
      for (std::int64_t k = 0; k < inner; ++k) {
        sum += a.real[op.transpose_a ? k * rows + m : m * inner + k] * b.real[op.transpose_b ? n * inner + k : k * columns + n];
      }
      const double added = c ? c->real[broadcast_position(c->dims, {m, n})] : 0;
      y.real[m * columns + n] = activate(op.activation, static_cast<double>(op.alpha) * sum + static_cast<double>(op.beta) * added);
    }
  }
  return y;
}

Data run_op(const MatMul&, const Inputs& in) {
  Dims a = in[0]->dims, b = in[1]->dims;
  const bool a_vector = a.size() == 1, b_vector = b.size() == 1;
  if (a_vector) a.insert(a.begin(), 1);
  if (b_vector) b.push_back(1);
  const Dims a_batch(a.begin(), a.end() - 2), b_batch(b.begin(), b.end() - 2), batch = broadcast_dims(a_batch, b_batch);
  const std::int64_t rows = a[a.size() - 2], inner = a.back(), columns = b.back();
  if (b[b.size() - 2] != inner) throw Error("reference: MatMul of " + to_string(a) + " and " + to_string(b));

  Data y = real_data({});
  y.real.clear();
  for (std::int64_t i = 0; i < product(batch); ++i) {
    const Ints index = index_of(batch, i);
    const double* left = in[0]->real.data() + broadcast_position(a_batch, index) * rows * inner;
    const double* right = in[1]->real.data() + broadcast_position(b_batch, index) * inner * columns;
    for (std::int64_t m = 0; m < rows; ++m) {
      for (std::int64_t n = 0; n < columns; ++n) {
        double sum = 0;
        for (std::int64_t k = 0; k < inner; ++k) sum += left[m * inner + k] * right[k * columns + n];
        y.real.push_back(sum);
      }
    }
  }
  y.dims = batch;
  if (!a_vector) y.dims.push_back(rows);
  if (!b_vector) y.dims.push_back(columns);
  return y;
}

Data run_op(const BatchNorm& op, const Inputs& in) {
  Data y = *in[BatchNorm::kInput];
  const std::int64_t channels = y.dim(1), pixels = product(y.dims, 2, y.rank());
  for (std::size_t i = 0; i < y.real.size(); ++i) {
    const std::int64_t c = static_cast<std::int64_t>(i) / pixels % channels;
    const double deviation = std::sqrt(in[BatchNorm::kVariance]->real[c] + static_cast<double>(op.epsilon));
    y.real[i] = in[BatchNorm::kGamma]->real[c] * (y.real[i] - in[BatchNorm::kMean]->real[c]) / deviation + in[BatchNorm::kBeta]->real[c];
  }
  return y;
}

Data run_op(const Unary& op, const Inputs& in) {
  Data y = *in[0];
  for (double& value : y.real) value = activate(op.function, value);
  return y;
}

namespace {

template <class T>
T calculate(BinaryKind kind, T a, T b) {
  switch (kind) {
    case BinaryKind::add: return a + b;
    case BinaryKind::sub: return a - b;
    case BinaryKind::mul: return a * b;
    case BinaryKind::div: break;
  }
  if constexpr (std::is_integral_v<T>) return b == 0 ? 0 : a / b;
  return a / b;
}

}  // namespace

Data run_op(const Binary& op, const Inputs& in) {
  const Data &a = *in[Binary::kA], &b = *in[Binary::kB];
  Data y{a.dtype, broadcast_dims(a.dims, b.dims), {}, {}};
  for (std::int64_t i = 0; i < product(y.dims); ++i) {
    const Ints index = index_of(y.dims, i);
    const std::int64_t at_a = broadcast_position(a.dims, index), at_b = broadcast_position(b.dims, index);
    if (y.floating()) {
      y.real.push_back(activate(op.activation, calculate(op.kind, a.real[at_a], b.real[at_b])));
    } else {
      y.ints.push_back(calculate(op.kind, a.ints[at_a], b.ints[at_b]));
    }
  }
  return y;
}

Data run_op(const Softmax& op, const Inputs& in) {
  Data y = *in[0];
  const std::int64_t axis = from_front(op.axis, y.rank());
  const std::int64_t outer = product(y.dims, 0, axis), size = product(y.dims, axis, op.flatten ? y.rank() : axis + 1);
  const std::int64_t inner = op.flatten ? 1 : product(y.dims, axis + 1, y.rank());
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t i = 0; i < inner; ++i) {
      const auto at = [&](std::int64_t s) -> double& { return y.real[(o * size + s) * inner + i]; };
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (std::int64_t s = 0; s < size; ++s) largest = std::max(largest, at(s));
      for (std::int64_t s = 0; s < size; ++s) sum += at(s) = std::exp(at(s) - largest);
      for (std::int64_t s = 0; s < size; ++s) at(s) /= sum;
    }
  }
  return y;
}

Data run_op(const Reduce& op, const Inputs& in) {
  const Data& x = *in[0];
  std::vector<bool> reduced(x.dims.size(), op.axes.empty());
  for (const std::int64_t axis : op.axes) reduced[from_front(axis, x.rank())] = true;

  Dims kept;  // reduced dimensions as 1
  for (std::size_t i = 0; i < x.dims.size(); ++i) kept.push_back(reduced[i] ? 1 : x.dims[i]);
  const double first = op.kind == ReduceKind::max   ? -std::numeric_limits<double>::infinity()
                       : op.kind == ReduceKind::min ? std::numeric_limits<double>::infinity()
                                                    : 0;
  Data y = real_data(kept);
  std::fill(y.real.begin(), y.real.end(), first);
  for (std::size_t i = 0; i < x.real.size(); ++i) {
    double& total = y.real[broadcast_position(kept, index_of(x.dims, static_cast<std::int64_t>(i)))];
    switch (op.kind) {
      case ReduceKind::mean:
      case ReduceKind::sum: total += x.real[i]; break;
      case ReduceKind::max: total = std::max(total, x.real[i]); break;
      case ReduceKind::min: total = std::min(total, x.real[i]); break;
    }
  }
  if (op.kind == ReduceKind::mean) {
    for (double& value : y.real) value /= static_cast<double>(product(x.dims)) / static_cast<double>(product(kept));
  }
  if (op.keep_dims) return y;
  y.dims.clear();
  for (std::size_t i = 0; i < x.dims.size(); ++i) {
    if (!reduced[i]) y.dims.push_back(x.dims[i]);
  }
  return y;
}

namespace {

/// The nearest number with `digits` significant bits, multiples of 2^smallest, at most `largest`.
double rounded(double x, int digits, int smallest, double largest) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent;
  std::frexp(x, &exponent);
  const double unit = std::ldexp(1.0, std::max(exponent - digits, smallest));
  const double nearest = std::nearbyint(x / unit) * unit;
  return std::abs(nearest) > largest ? std::copysign(std::numeric_limits<double>::infinity(), x) : nearest;
}

double to_float_type(DType type, double x) {
  switch (type) {
    case DType::float16: return rounded(x, 11, -24, 65504);
    case DType::bfloat16: return rounded(x, 8, -133, 0x1.fep127);
    case DType::float32: return static_cast<double>(static_cast<float>(x));
    default: return x;
  }
}

std::int64_t to_integer_type(DType type, std::int64_t x) {
  switch (type) {
    case DType::boolean: return x != 0;
    case DType::int32: return static_cast<std::int32_t>(x);
    case DType::int16: return static_cast<std::int16_t>(x);
    case DType::int8: return static_cast<std::int8_t>(x);
    case DType::uint32: return static_cast<std::uint32_t>(x);
    case DType::uint16: return static_cast<std::uint16_t>(x);
    case DType::uint8: return static_cast<std::uint8_t>(x);
    default: return x;
  }
}

}  // namespace

Data run_op(const Cast& op, const Inputs& in) {
  const Data& x = *in[0];
  Data y{op.to, x.dims, {}, {}};
  for (std::int64_t i = 0; i < product(x.dims); ++i) {
    if (y.floating()) {
      y.real.push_back(to_float_type(op.to, x.floating() ? x.real[i] : static_cast<double>(x.ints[i])));
    } else if (!x.floating()) {
      y.ints.push_back(to_integer_type(op.to, x.ints[i]));
    } else if (op.to == DType::boolean) {
      y.ints.push_back(x.real[i] != 0);
    } else {
      y.ints.push_back(to_integer_type(op.to, static_cast<std::int64_t>(x.real[i])));
    }
  }
  return y;
}

}  // namespace konv::test
