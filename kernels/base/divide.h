// Division of sizes. Kernels divide a dozen times before each chunk, and an instruction that divides 64 bits takes up to 95 cycles where one of 32 bits
// takes 26 (Fog, "Instruction tables", Skylake-X).
// Functions are static: units compiled for an instruction set must not export them.
#pragma once

#include <cstdint>

namespace konv {

/// a / b.
static inline std::int64_t quotient(std::int64_t a, std::int64_t b) {
  return ((a | b) >> 32) == 0 ? static_cast<std::int64_t>(static_cast<std::uint32_t>(a) / static_cast<std::uint32_t>(b)) : a / b;
}

static inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return quotient(a + b - 1, b); }
static inline std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

/// i as whole * size + rest.
struct Division {
  std::int64_t whole, rest;
};

static inline Division split(std::int64_t i, std::int64_t size) {
  const std::int64_t whole = quotient(i, size);
  return {whole, i - whole * size};
}

}  // namespace konv
