#include "tests/support/random.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace konv;
using konv::test::random_conv_shapes;
using konv::test::Rng;

TEST_CASE("random numbers stay in their range and repeat with their seed") {
  Rng a(3), b(3);
  for (int i = 0; i < 1000; ++i) {
    const float x = a.real(-2, 3);
    CHECK_UNARY(x >= -2 && x < 3);
    CHECK(x == b.real(-2, 3));
    const std::int64_t n = a.integer(-1, 1);
    CHECK_UNARY(n >= -1 && n <= 1);
    CHECK(n == b.integer(-1, 1));
  }
}

TEST_CASE("random shapes are valid, affordable and of every kind") {
  const auto shapes = random_conv_shapes({.seed = 1, .count = 300, .straddle = 16, .max_macs = 1'000'000});
  REQUIRE(shapes.size() == 300);
  CHECK(shapes == random_conv_shapes({.seed = 1, .count = 300, .straddle = 16, .max_macs = 1'000'000}));
  for (const ConvShape& s : shapes) {
    CHECK(s.out_h() > 0);
    CHECK(s.out_w() > 0);
    CHECK(s.macs() <= 1'000'000);
    CHECK(s.in_channels % s.groups == 0);
    CHECK(s.out_channels % s.groups == 0);
  }
  const auto some = [&](auto fact) { return std::count_if(shapes.begin(), shapes.end(), fact) >= 3; };
  CHECK(some([](const ConvShape& s) { return s.groups > 1 && s.groups == s.in_channels; }));
  CHECK(some([](const ConvShape& s) { return s.groups > 1 && s.groups < s.in_channels; }));
  CHECK(some([](const ConvShape& s) { return s.kernel_h == 1 && s.kernel_w == 1; }));
  CHECK(some([](const ConvShape& s) { return s.stride_h == 2; }));
  CHECK(some([](const ConvShape& s) { return s.dilation_h > 1; }));
  CHECK(some([](const ConvShape& s) { return s.pad_top != s.pad_bottom; }));
  CHECK(some([](const ConvShape& s) { return s.in_channels == 17; }));
  CHECK(some([](const ConvShape& s) { return s.out_channels == 15; }));
}
