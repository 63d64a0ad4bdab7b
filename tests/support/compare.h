// The comparator: how far results are from a reference, and how far they may be.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "kernels/base/dtype.h"

namespace konv {
struct Tensor;
}

namespace konv::test {

/// max|a - b| / max(1, max|b|), b the reference: the difference that the command line prints.
/// Infinite, with the `fault` that says why, for unequal sizes, for nothing to compare and for a NaN on either side.
/// An infinity equals only itself, and never widens the scale.
struct Difference {
  double value = 0;
  double scale = 1;              ///< max(1, max|b|)
  std::int64_t at = -1;          ///< element that is farthest off
  double got = 0, expected = 0;  ///< a and b there
  std::string fault;

  bool within(double tolerance) const { return fault.empty() && value <= tolerance; }
  /// "difference 0.5 exceeds 1e-06: element 17 is 2.5, expected 2 (largest expected 4)"
  std::string explain(double tolerance) const;
};

Difference difference(std::span<const float> a, std::span<const float> b);
Difference difference(std::span<const double> a, std::span<const double> b);
/// Shapes must agree, and so must the kinds of the elements (floats or integers).
Difference difference(const Tensor& a, const Tensor& b);

/// What `difference` may be for sums of `k` products computed in `type`: rounding errors of a sum grow with sqrt(k) (Higham and Mary, "A new
/// approach to probabilistic rounding error analysis", 2019). `magnitude` is how much larger than the outputs the values on the way may be:
/// 1 for a plain sum, the norm of the transforms for Winograd, the number of layers for a network.
double tolerance(DType type, std::int64_t k, double magnitude = 1);

}  // namespace konv::test

/// Checks that `actual` is within `allowed` of `reference` (floats, doubles or tensors) and says where it is farthest off.
#define CHECK_CLOSE(actual, reference, allowed)                                              \
  do {                                                                                       \
    const double konv_allowed = (allowed);                                                   \
    const ::konv::test::Difference konv_found = ::konv::test::difference(actual, reference); \
    CHECK_MESSAGE(konv_found.within(konv_allowed), konv_found.explain(konv_allowed));        \
  } while (false)
