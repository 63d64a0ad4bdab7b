// Apart from compare.cpp: kernel tests link no graph.
#include <vector>

#include "engine/graph/tensor.h"
#include "tests/support/compare.h"

namespace konv::test {

namespace {

std::vector<double> to_doubles(const Tensor& tensor) {
  if (tensor.dtype == DType::float64) {
    const auto values = tensor.as<double>();
    return {values.begin(), values.end()};
  }
  if (is_float(tensor.dtype)) {
    const std::vector<float> values = to_f32(tensor);
    return {values.begin(), values.end()};
  }
  const std::vector<std::int64_t> values = to_i64(tensor);
  return {values.begin(), values.end()};
}

Difference mismatch(const std::string& got, const std::string& expected) {
  Difference d;
  d.value = std::numeric_limits<double>::infinity();
  d.fault = got + ", expected " + expected;
  return d;
}

}  // namespace

Difference difference(const Tensor& a, const Tensor& b) {
  if (a.dims != b.dims) return mismatch("shape " + to_string(a.dims), to_string(b.dims));
  if (is_float(a.dtype) != is_float(b.dtype)) return mismatch(name(a.dtype), name(b.dtype));
  const std::vector<double> x = to_doubles(a), y = to_doubles(b);
  return difference(std::span<const double>(x), std::span<const double>(y));
}

}  // namespace konv::test
