#include "engine/graph/shape.h"

#include <limits>

#include "engine/base/checked.h"
#include "engine/base/text.h"

namespace konv {
namespace {

bool is(const Dim& dim, std::int64_t value) { return dim.known() && dim.value() == value; }

}  // namespace

Dim Dim::symbol(std::string name) {
  Dim dim;
  dim.symbol_ = std::move(name);
  return dim;
}

bool Dim::same_as(const Dim& other) const {
  if (known() || other.known()) return value_ == other.value_;
  return !symbol_.empty() && symbol_ == other.symbol_;
}

// What is not a number, a symbol or one of the laws below is unknown: there are no expressions of symbols.

Dim operator+(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) return checked_add(a.value(), b.value());
  if (is(a, 0)) return b;
  if (is(b, 0)) return a;
  return {};
}

Dim operator-(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) return checked_sub(a.value(), b.value());
  if (is(b, 0)) return a;
  if (a.same_as(b)) return 0;
  return {};
}

Dim operator*(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) return checked_mul(a.value(), b.value());
  if (is(a, 0) || is(b, 0)) return 0;
  if (is(a, 1)) return b;
  if (is(b, 1)) return a;
  return {};
}

Dim operator/(const Dim& a, const Dim& b) {
  if (is(b, 0)) throw Error("division of a size by zero");
  if (a.known() && b.known()) {
    if (a.value() == std::numeric_limits<std::int64_t>::min() && b.value() == -1) throw Overflow("quotient of sizes does not fit");
    return a.value() / b.value();
  }
  if (is(b, 1)) return a;
  if (a.same_as(b)) return 1;
  return {};
}

bool fully_known(const Shape& shape) {
  for (const Dim& dim : shape) {
    if (!dim.known()) return false;
  }
  return true;
}

Dims to_dims(const Shape& shape) {
  Dims dims;
  dims.reserve(shape.size());
  for (const Dim& dim : shape) {
    if (!dim.known()) throw Error("shape " + to_string(shape) + ": sizes are missing; expected all of them known");
    dims.push_back(dim.value());
  }
  return dims;
}

Shape to_shape(const Dims& dims) { return {dims.begin(), dims.end()}; }

std::string to_string(const Shape& shape) {
  if (shape.empty()) return "scalar";
  std::string text;
  for (const Dim& dim : shape) {
    if (!text.empty()) text += 'x';
    text += dim.known() ? std::to_string(dim.value()) : dim.symbol().empty() ? "?" : printable(dim.symbol());
  }
  return text;
}

}  // namespace konv
