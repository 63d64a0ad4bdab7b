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
    case BinaryKind::div:
      if constexpr (std::is_integral_v<T>) return b == 0 ? 0 : a / b;
      return a / b;
    case BinaryKind::pow: return static_cast<T>(std::pow(a, b));
    case BinaryKind::min: return std::min(a, b);
    case BinaryKind::max: return std::max(a, b);
    case BinaryKind::prelu: return a < 0 ? a * b : a;
    case BinaryKind::equal: return a == b;
    case BinaryKind::less: return a < b;
    case BinaryKind::greater: return a > b;
  }
  return a;
}

}  // namespace

Data run_op(const Binary& op, const Inputs& in) {
  const Data &a = *in[Binary::kA], &b = *in[Binary::kB];
  const bool compared = is_comparison(op.kind);
  Data y{compared ? DType::boolean : a.dtype, broadcast_dims(a.dims, b.dims), {}, {}};
  for (std::int64_t i = 0; i < product(y.dims); ++i) {
    const Ints index = index_of(y.dims, i);
    const std::int64_t at_a = broadcast_position(a.dims, index), at_b = broadcast_position(b.dims, index);
    if (compared) {
      y.ints.push_back(a.floating() ? calculate(op.kind, a.real[at_a], b.real[at_b]) != 0 : calculate(op.kind, a.ints[at_a], b.ints[at_b]));
    } else if (y.floating()) {
      y.real.push_back(activate(op.activation, calculate(op.kind, a.real[at_a], b.real[at_b])));
    } else {
      y.ints.push_back(calculate(op.kind, a.ints[at_a], b.ints[at_b]));
    }
  }
  return y;
}

Data run_op(const Where&, const Inputs& in) {
  const Data &condition = *in[Where::kCondition], &a = *in[Where::kA], &b = *in[Where::kB];
  Data y{a.dtype, broadcast_dims(condition.dims, broadcast_dims(a.dims, b.dims)), {}, {}};
  for (std::int64_t i = 0; i < product(y.dims); ++i) {
    const Ints index = index_of(y.dims, i);
    const Data& chosen = condition.ints[broadcast_position(condition.dims, index)] ? a : b;
    const std::int64_t at = broadcast_position(chosen.dims, index);
    if (y.floating()) {
      y.real.push_back(chosen.real[at]);
    } else {
      y.ints.push_back(chosen.ints[at]);
    }
  }
  return y;
}

namespace {

/// Mean 0 and variance 1 over runs of `size` elements.
void normalize(Data& y, std::int64_t size, double epsilon) {
  for (std::size_t begin = 0; begin < y.real.size(); begin += static_cast<std::size_t>(size)) {
    double mean = 0, variance = 0;
    for (std::int64_t i = 0; i < size; ++i) mean += y.real[begin + i] / static_cast<double>(size);
    for (std::int64_t i = 0; i < size; ++i) variance += (y.real[begin + i] - mean) * (y.real[begin + i] - mean) / static_cast<double>(size);
    for (std::int64_t i = 0; i < size; ++i) y.real[begin + i] = (y.real[begin + i] - mean) / std::sqrt(variance + epsilon);
  }
}

}  // namespace

Data run_op(const LayerNorm& op, const Inputs& in) {
  Data y = *in[LayerNorm::kInput];
  const Data* beta = input(in, LayerNorm::kBeta);
  const std::int64_t size = product(y.dims, from_front(op.axis, y.rank()), y.rank());
  normalize(y, size, static_cast<double>(op.epsilon));
  for (std::size_t i = 0; i < y.real.size(); ++i) {
    const std::int64_t at = static_cast<std::int64_t>(i) % size;
    y.real[i] = y.real[i] * in[LayerNorm::kGamma]->real[at] + (beta ? beta->real[at] : 0);
  }
  return y;
}

Data run_op(const InstanceNorm& op, const Inputs& in) {
  Data y = *in[InstanceNorm::kInput];
  const std::int64_t pixels = product(y.dims, 2, y.rank());
  normalize(y, pixels, static_cast<double>(op.epsilon));
  for (std::size_t i = 0; i < y.real.size(); ++i) {
    const std::int64_t c = static_cast<std::int64_t>(i) / pixels % y.dim(1);
    y.real[i] = y.real[i] * in[InstanceNorm::kGamma]->real[c] + in[InstanceNorm::kBeta]->real[c];
  }
  return y;
}

Data run_op(const Lrn& op, const Inputs& in) {
  const Data& x = *in[0];
  Data y = x;
  const std::int64_t channels = x.dim(1), pixels = product(x.dims, 2, x.rank());
  for (std::int64_t i = 0; i < product(x.dims); ++i) {
    const std::int64_t c = i / pixels % channels;
    double squares = 0;
    for (std::int64_t d = c - (op.size - 1) / 2; d <= c + op.size / 2; ++d) {
      if (d >= 0 && d < channels) squares += x.real[i + (d - c) * pixels] * x.real[i + (d - c) * pixels];
    }
    y.real[i] /= std::pow(static_cast<double>(op.bias) + static_cast<double>(op.alpha) / static_cast<double>(op.size) * squares,
                          static_cast<double>(op.beta));
  }
  return y;
}

Data run_op(const TopK& op, const Inputs& in) {
  const Data& x = *in[TopK::kInput];
  const std::int64_t axis = from_front(op.axis, x.rank()), k = in[TopK::kK]->ints[0];
  const std::int64_t inner = product(x.dims, axis + 1, x.rank()), size = x.dim(axis);
  Data y = x;
  y.dims[axis] = k;
  y.real.clear();
  y.ints.clear();
  if (op.part == TopKPart::indices) y.dtype = DType::int64;
  for (std::int64_t i = 0; i < product(y.dims); ++i) {
    const std::int64_t outer = i / inner / k, rank = i / inner % k, at = i % inner;
    const auto value = [&](std::int64_t j) {
      const std::int64_t p = (outer * size + j) * inner + at;
      return x.floating() ? x.real[p] : static_cast<double>(x.ints[p]);
    };
    std::vector<std::int64_t> order;
    for (std::int64_t j = 0; j < size; ++j) order.push_back(op.last_first ? size - 1 - j : j);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return op.largest ? value(a) > value(b) : value(a) < value(b); });
    const std::int64_t from = (outer * size + order[rank]) * inner + at;
    if (op.part == TopKPart::indices) {
      y.ints.push_back(order[rank]);
    } else if (x.floating()) {
      y.real.push_back(x.real[from]);
    } else {
      y.ints.push_back(x.ints[from]);
    }
  }
  return y;
}

Data run_op(const MatMulInteger&, const Inputs& in) {
  const auto shifted = [&](int i, int zero_slot, bool per_row) {
    Data x = *in[static_cast<std::size_t>(i)];
    x.dtype = DType::float32;
    const Data* zero = input(in, zero_slot);
    const std::int64_t columns = x.dims.back(), rows = x.rank() > 1 ? x.dims[x.dims.size() - 2] : 1;
    for (std::size_t e = 0; e < x.ints.size(); ++e) {
      const std::int64_t row = static_cast<std::int64_t>(e) / columns % rows, column = static_cast<std::int64_t>(e) % columns;
      const std::int64_t z = !zero ? 0 : zero->ints.size() == 1 ? zero->ints[0] : zero->ints[per_row ? row : column];
      x.real.push_back(static_cast<double>(x.ints[e] - z));
    }
    return x;
  };
  const Data a = shifted(MatMulInteger::kA, MatMulInteger::kZeroA, true), b = shifted(MatMulInteger::kB, MatMulInteger::kZeroB, false);
  Data y = run_op(MatMul{}, {&a, &b});
  y.dtype = DType::int32;
  for (const double value : y.real) y.ints.push_back(static_cast<std::int64_t>(value));
  y.real.clear();
  return y;
}

namespace {

/// Which scale goes with element i.
std::int64_t scale_of(const Data& x, const Data& scale, std::int64_t axis, std::int64_t block, std::int64_t i) {
  if (scale.dims.empty() || product(scale.dims) == 1) return 0;
  Ints index = index_of(x.dims, i);
  axis = from_front(axis, x.rank());
  if (block == 0) return index[axis];
  index[axis] /= block;
  return position(scale.dims, index);
}

}  // namespace

Data run_op(const Quantize& op, const Inputs& in) {
  const Data &x = *in[Quantize::kInput], &scale = *in[Quantize::kScale];
  const Data* zero = input(in, Quantize::kZero);
  const bool is_signed =
      op.to == DType::int2 || op.to == DType::int4 || op.to == DType::int8 || op.to == DType::int16 || op.to == DType::int32;
  const double low = is_signed ? -std::ldexp(1.0, bits(op.to) - 1) : 0, high = low + std::ldexp(1.0, bits(op.to)) - 1;
  Data y{op.to, x.dims, {}, {}};
  for (std::int64_t i = 0; i < product(x.dims); ++i) {
    const std::int64_t at = scale_of(x, scale, op.axis, op.block, i);
    const auto divided = static_cast<float>(x.real[i]) / static_cast<float>(scale.real[at]);  // in float, as ONNX says
    const double value = std::nearbyint(static_cast<double>(divided)) + static_cast<double>(zero ? zero->ints[at] : 0);
    y.ints.push_back(static_cast<std::int64_t>(std::clamp(value, low, high)));
  }
  return y;
}

Data run_op(const Dequantize& op, const Inputs& in) {
  const Data &x = *in[Dequantize::kInput], &scale = *in[Dequantize::kScale];
  const Data* zero = input(in, Dequantize::kZero);
  Data y{op.to, x.dims, {}, {}};
  for (std::int64_t i = 0; i < product(x.dims); ++i) {
    const std::int64_t at = scale_of(x, scale, op.axis, op.block, i);
    y.real.push_back(static_cast<double>(x.ints[i] - (zero ? zero->ints[at] : 0)) * scale.real[at]);
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
      for (std::int64_t s = 0; s < size; ++s) at(s) = op.log ? std::log(at(s) / sum) : at(s) / sum;
    }
  }
  return y;
}

Data run_op(const Reduce& op, const Inputs& in) {
  const Data& x = *in[Reduce::kInput];
  const Ints axes = input(in, Reduce::kAxes) ? in[Reduce::kAxes]->ints : op.axes;
  if (axes.empty() && op.none_is_none) return x;
  std::vector<bool> reduced(x.dims.size(), axes.empty());
  for (const std::int64_t axis : axes) reduced[from_front(axis, x.rank())] = true;

  Dims kept;  // reduced dimensions as 1
  for (std::size_t i = 0; i < x.dims.size(); ++i) kept.push_back(reduced[i] ? 1 : x.dims[i]);
  double first = 0;
  if (op.kind == ReduceKind::max) first = -std::numeric_limits<double>::infinity();
  if (op.kind == ReduceKind::min) first = std::numeric_limits<double>::infinity();
  if (op.kind == ReduceKind::prod) first = 1;
  Data y = real_data(kept);
  std::fill(y.real.begin(), y.real.end(), first);
  for (std::size_t i = 0; i < x.real.size(); ++i) {
    double& total = y.real[broadcast_position(kept, index_of(x.dims, static_cast<std::int64_t>(i)))];
    switch (op.kind) {
      case ReduceKind::mean:
      case ReduceKind::log_sum:
      case ReduceKind::sum: total += x.real[i]; break;
      case ReduceKind::max: total = std::max(total, x.real[i]); break;
      case ReduceKind::min: total = std::min(total, x.real[i]); break;
      case ReduceKind::prod: total *= x.real[i]; break;
      case ReduceKind::l1: total += std::abs(x.real[i]); break;
      case ReduceKind::l2:
      case ReduceKind::sum_square: total += x.real[i] * x.real[i]; break;
      case ReduceKind::log_sum_exp: total += std::exp(x.real[i]); break;
    }
  }
  for (double& value : y.real) {
    if (op.kind == ReduceKind::mean) value /= static_cast<double>(product(x.dims)) / static_cast<double>(product(kept));
    if (op.kind == ReduceKind::l2) value = std::sqrt(value);
    if (op.kind == ReduceKind::log_sum || op.kind == ReduceKind::log_sum_exp) value = std::log(value);
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
