// Shapes with symbolic sizes: [N, 3, 32, 32].
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/graph/tensor.h"

namespace konv {

/// An integer that shape arithmetic works on: known, a named symbol (equal names are equal sizes), or unknown (equal to nothing).
class Dim {
 public:
  Dim() = default;
  Dim(std::int64_t value) : value_(value) {}  // NOLINT: a number is a size
  static Dim symbol(std::string name);

  bool known() const { return value_.has_value(); }
  std::int64_t value() const { return *value_; }
  const std::string& symbol() const { return symbol_; }

  /// Certainly the same size. Two unknowns are not.
  bool same_as(const Dim& other) const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);  ///< saturates nothing: overflow throws konv::Error
  friend Dim operator/(const Dim& a, const Dim& b);  ///< rounds towards zero; by zero throws konv::Error

 private:
  std::optional<std::int64_t> value_;
  std::string symbol_;
};

using Shape = std::vector<Dim>;

bool fully_known(const Shape& shape);
Dims to_dims(const Shape& shape);  ///< requires fully_known
Shape to_shape(const Dims& dims);
/// "Nx16x32x32"; "?" for an unknown size, "scalar" for no dimensions.
std::string to_string(const Shape& shape);

}  // namespace konv
