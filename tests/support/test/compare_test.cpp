// The comparator must be able to say no.
#include "tests/support/compare.h"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "engine/graph/tensor.h"

using namespace konv;
using konv::test::difference;
using konv::test::tolerance;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
constexpr double kLargest = std::numeric_limits<double>::max();

test::Difference compare(const std::vector<float>& a, const std::vector<float>& b) {
  return difference(std::span<const float>(a), std::span<const float>(b));
}

}  // namespace

TEST_CASE("the difference is relative to the largest reference, and to 1 below that") {
  CHECK(compare({1, 2, 3}, {1, 2, 3}).value == 0);
  CHECK(compare({0.5f, 0}, {0.25f, 0}).value == doctest::Approx(0.25));
  CHECK(compare({10, 0}, {8, 0}).value == doctest::Approx(0.25));
  CHECK(compare({8, 0}, {10, 0}).value == doctest::Approx(0.2));
  CHECK(compare({0, 5}, {0, 4}).at == 1);
}

TEST_CASE("one wrong element among many is found") {
  std::vector<float> a(1000, 1.0f), b = a;
  a[777] += 1e-4f;
  const test::Difference found = compare(a, b);
  CHECK(found.at == 777);
  CHECK(!found.within(tolerance(DType::float32, 9)));
  CHECK(found.explain(1e-6).find("element 777") != std::string::npos);
}

TEST_CASE("NaN never passes") {
  CHECK(!compare({kNan, 0}, {0, 0}).within(kLargest));
  CHECK(!compare({0, 0}, {0, kNan}).within(kLargest));
  CHECK(!compare({kNan}, {kNan}).within(kLargest));
  CHECK(!compare({kNan}, {kNan}).within(kInf));
  CHECK(!compare({0}, {0}).within(std::numeric_limits<double>::quiet_NaN()));
}

TEST_CASE("infinities equal only themselves and do not widen the scale") {
  CHECK(compare({kInf, 1}, {kInf, 1}).within(0));
  CHECK(!compare({-kInf, 1}, {kInf, 1}).within(kLargest));
  CHECK(!compare({1, 1}, {kInf, 1}).within(kLargest));
  CHECK(!compare({kInf, 1}, {1, 1}).within(kLargest));
  CHECK(!compare({kInf, 2}, {kInf, 1}).within(0.5));
}

TEST_CASE("unequal sizes, shapes and kinds do not pass, nor does nothing") {
  CHECK(!compare({1, 2}, {1}).within(kLargest));
  CHECK(!compare({}, {}).within(kLargest));
  const float two[] = {1, 2};
  const std::int64_t integers[] = {1, 2};
  CHECK(difference(make_f32({2}, two), make_f32({2}, two)).within(0));
  CHECK(!difference(make_f32({2, 1}, two), make_f32({1, 2}, two)).within(kLargest));
  CHECK(!difference(make_f32({2}, two), make_i64({2}, integers)).within(kLargest));
  CHECK(difference(make_i64({2}, integers), make_i64({2}, integers)).within(0));
}

TEST_CASE("tolerances grow with K and shrink with the type, and integers have none") {
  CHECK(tolerance(DType::float32, 1) < 1e-6);
  CHECK(tolerance(DType::float32, 4608) > tolerance(DType::float32, 9));
  CHECK(tolerance(DType::float32, 4608) < 1e-4);
  CHECK(tolerance(DType::float16, 9) > tolerance(DType::float32, 9));
  CHECK(tolerance(DType::float64, 9) < tolerance(DType::float32, 9));
  CHECK(tolerance(DType::float32, 9, 10) == doctest::Approx(10 * tolerance(DType::float32, 9)));
  CHECK(tolerance(DType::int64, 1000) == 0);
}
