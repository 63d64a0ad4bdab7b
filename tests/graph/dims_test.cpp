#include <doctest/doctest.h>

#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

namespace {

constexpr std::int64_t kMax = INT64_MAX, kMin = INT64_MIN;

std::string text(const Dim& dim) { return to_string(Shape{dim}); }

}  // namespace

TEST_CASE("sizes: numbers calculate, and say so when they do not fit") {
  CHECK(text(Dim(6) + Dim(4)) == "10");
  CHECK(text(Dim(6) - Dim(4)) == "2");
  CHECK(text(Dim(6) * Dim(4)) == "24");
  CHECK(text(Dim(7) / Dim(2)) == "3");
  CHECK(text(Dim(-7) / Dim(2)) == "-3");
  CHECK_THROWS_AS(Dim(kMax) + Dim(1), Error);
  CHECK_THROWS_AS(Dim(kMin) - Dim(1), Error);
  CHECK_THROWS_AS(Dim(kMax) * Dim(2), Error);
  CHECK_THROWS_AS(Dim(kMin) / Dim(-1), Error);
  CHECK_THROWS_AS(Dim(1) / Dim(0), Error);
  CHECK_THROWS_AS(sym("N") / Dim(0), Error);
}

TEST_CASE("sizes: what a symbol survives") {
  const Dim n = sym("N"), unknown;
  CHECK(text(n + Dim(0)) == "N");
  CHECK(text(Dim(0) + n) == "N");
  CHECK(text(n - Dim(0)) == "N");
  CHECK(text(n * Dim(1)) == "N");
  CHECK(text(Dim(1) * n) == "N");
  CHECK(text(n / Dim(1)) == "N");
  CHECK(text(n - n) == "0");
  CHECK(text(n / n) == "1");
  CHECK(text(n * Dim(0)) == "0");
  CHECK(text(n * Dim(2)) == "?");
  CHECK(text(n + n) == "?");
  CHECK(text(unknown - unknown) == "?");
  CHECK(text(unknown / unknown) == "?");
}

TEST_CASE("sizes: equality is certainty") {
  CHECK(Dim(3).same_as(3));
  CHECK_FALSE(Dim(3).same_as(4));
  CHECK(sym("N").same_as(sym("N")));
  CHECK_FALSE(sym("N").same_as(sym("M")));
  CHECK_FALSE(sym("N").same_as(3));
  CHECK_FALSE(Dim().same_as(Dim()));
}

TEST_CASE("shapes: text, conversion") {
  CHECK(to_string(Shape{sym("N"), 16, Dim(), 32}) == "Nx16x?x32");
  CHECK(to_string(Shape{}) == "scalar");
  CHECK(to_string(Shape{sym("a\nb")}) == "a?b");
  CHECK(to_string(Dims{1, 16, 32}) == "1x16x32");
  CHECK(to_string(Dims{}) == "scalar");
  CHECK(fully_known(to_shape({1, 2})));
  CHECK(to_dims(to_shape({1, 2})) == Dims{1, 2});
  CHECK_FALSE(fully_known({1, sym("N")}));
  CHECK_THROWS_AS(to_dims({1, sym("N")}), Error);
}
