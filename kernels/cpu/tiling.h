// How kernels cut their work into chunks. Everything here depends on shapes only.
// Functions are static: units compiled for an instruction set must not export them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/divide.h"

namespace konv {

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

static inline std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
static inline std::int64_t larger(std::int64_t a, std::int64_t b) { return a < b ? b : a; }
static inline std::int64_t clamped(std::int64_t x, std::int64_t low, std::int64_t high) { return x < low ? low : (x > high ? high : x); }

/// The i-th piece of `total` items cut every `step` items.
static inline Range piece(std::int64_t total, std::int64_t step, std::int64_t i) { return {i * step, smaller(total, (i + 1) * step)}; }

/// What one chunk should cost, in elementary operations (multiply-adds, elements): some 20 to 100 us.
inline constexpr std::int64_t kChunkMacs = 500'000;
inline constexpr std::int64_t kChunkElements = 32'768;

/// Bytes of a layer's packed weights that the second cache keeps while the layer runs.
inline constexpr std::int64_t kNearWeights = 1 << 20;
/// Bytes of inputs that are gathered for one pass of weights that do not stay (conv/igemm_bf16x6_amx.isa.h).
inline constexpr std::int64_t kFarGathered = 800 << 10;

/// Planes (images times channels) of `rows` rows each: a chunk holds several whole planes or some rows of one.
struct PlaneTiles {
  std::int64_t planes_per_chunk, rows_per_chunk;
  std::int64_t plane_chunks, row_chunks;
  bool rows_first =
      false;  ///< neighbouring chunks share rows, not planes: several threads then find the rows that they computed in the layer before

  std::int64_t count() const { return plane_chunks * row_chunks; }
};

static inline PlaneTiles tile_planes(std::int64_t planes, std::int64_t rows, std::int64_t work_per_row, std::int64_t target) {
  const std::int64_t rows_wanted = larger(1, quotient(target, larger(1, work_per_row)));
  PlaneTiles t{1, larger(1, rows), 0, 0};
  if (rows_wanted >= rows) {
    t.planes_per_chunk = clamped(quotient(rows_wanted, larger(1, rows)), 1, larger(1, planes));
  } else {
    t.rows_per_chunk = ceil_div(rows, ceil_div(rows, rows_wanted));
  }
  t.plane_chunks = ceil_div(planes, t.planes_per_chunk);
  t.row_chunks = ceil_div(rows, t.rows_per_chunk);
  return t;
}

/// What a chunk of `planes` planes of `rows` rows covers.
struct PlanePart {
  Range planes, rows;
};

static inline PlanePart plane_part(const PlaneTiles& t, std::int64_t planes, std::int64_t rows, std::int64_t chunk) {
  const Division place = split(chunk, t.rows_first ? t.plane_chunks : t.row_chunks);
  return {piece(planes, t.planes_per_chunk, t.rows_first ? place.rest : place.whole),
          piece(rows, t.rows_per_chunk, t.rows_first ? place.whole : place.rest)};
}

/// Chunks of a flat index space.
static inline std::int64_t flat_chunks(std::int64_t count, std::int64_t per_chunk = kChunkElements) { return ceil_div(count, per_chunk); }

}  // namespace konv
