#include "engine/base/checked.h"

#include <fmt/format.h>

namespace konv {
namespace {

[[noreturn]] void overflow(std::int64_t a, char op, std::int64_t b) {
  throw Overflow(fmt::format("{} {} {} does not fit; expected sizes that 64 bits hold", a, op, b));
}

}  // namespace

std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) overflow(a, '+', b);
  return sum;
}

std::int64_t checked_sub(std::int64_t a, std::int64_t b) {
  std::int64_t difference = 0;
  if (__builtin_sub_overflow(a, b, &difference)) overflow(a, '-', b);
  return difference;
}

std::int64_t checked_mul(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) overflow(a, 'x', b);
  return product;
}

}  // namespace konv
