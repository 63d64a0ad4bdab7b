// Integer arithmetic on sizes that come from files: a result that does not fit is an error, never a wrap.
#pragma once

#include <cstdint>

#include <konv/error.hpp>

namespace konv {

/// A size that 64 bits do not hold. Who knows whose size it was catches this and says so.
class Overflow : public Error {
 public:
  using Error::Error;
};

std::int64_t checked_add(std::int64_t a, std::int64_t b);
std::int64_t checked_sub(std::int64_t a, std::int64_t b);
std::int64_t checked_mul(std::int64_t a, std::int64_t b);

}  // namespace konv
