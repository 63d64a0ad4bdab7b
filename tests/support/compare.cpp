#include "tests/support/compare.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace konv::test {

namespace {

double unit_roundoff(DType type) {
  switch (type) {
    case DType::float64: return 0x1p-53;
    case DType::float32: return 0x1p-24;
    case DType::float16: return 0x1p-11;
    case DType::bfloat16: return 0x1p-8;
    default: return 0;  // integers are exact
  }
}

Difference faulty(std::string why) {
  Difference d;
  d.value = std::numeric_limits<double>::infinity();
  d.fault = std::move(why);
  return d;
}

template <class T>
Difference compare(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) return faulty(std::to_string(a.size()) + " elements, expected " + std::to_string(b.size()));
  if (a.empty()) return faulty("there is nothing to compare");

  Difference worst;
  double largest_error = -1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    if (std::isnan(x) || std::isnan(y))
      return faulty("element " + std::to_string(i) + (std::isnan(y) ? " of the reference" : "") + " is NaN");
    const double error = x == y ? 0 : std::abs(x - y);  // inf - inf is NaN, and they are equal
    if (std::isfinite(y)) worst.scale = std::max(worst.scale, std::abs(y));
    if (error <= largest_error) continue;
    largest_error = error;
    worst.at = static_cast<std::int64_t>(i);
    worst.got = x;
    worst.expected = y;
  }
  worst.value = largest_error / worst.scale;
  return worst;
}

}  // namespace

std::string Difference::explain(double tolerance) const {
  std::ostringstream text;
  text.precision(9);
  if (!fault.empty()) {
    text << fault;
    return text.str();
  }
  text << "difference " << value << (value <= tolerance ? " is within " : " exceeds ") << tolerance << ": element " << at << " is " << got
       << ", expected " << expected << " (scale " << scale << ")";
  return text.str();
}

Difference difference(std::span<const float> a, std::span<const float> b) { return compare(a, b); }
Difference difference(std::span<const double> a, std::span<const double> b) { return compare(a, b); }

double tolerance(DType type, std::int64_t k, double magnitude) {
  return 8 * unit_roundoff(type) * (1 + std::sqrt(static_cast<double>(std::max<std::int64_t>(k, 0)))) * std::max(1.0, magnitude);
}

}  // namespace konv::test
