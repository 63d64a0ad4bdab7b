// Images of 4-byte elements between the plain layout and blocks of one vector's lanes: squares of pixels and channels are transposed in registers.
#include "kernels/cpu/copy/copy.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const ReorderCode KONV_ISA_CODE(reorder_transposed);

namespace KONV_ISA {
namespace {

typedef std::int32_t Elements __attribute__((vector_size(4 * kLanes)));

inline __attribute__((always_inline)) Elements load(const std::int32_t* p) {
  Elements v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline __attribute__((always_inline)) void store(std::int32_t* p, Elements v) { std::memcpy(p, &v, sizeof v); }

/// The first halves of a and b, or the second ones, in turns.
template <bool Second, class V>
inline __attribute__((always_inline)) V in_turns(V a, V b) {
  constexpr int f = Second ? kLanes / 2 : 0, g = f + kLanes;
  if constexpr (kLanes == 16) {
    return __builtin_shufflevector(a, b, f, g, f + 1, g + 1, f + 2, g + 2, f + 3, g + 3, f + 4, g + 4, f + 5, g + 5, f + 6, g + 6, f + 7,
                                   g + 7);
  } else if constexpr (kLanes == 8) {
    return __builtin_shufflevector(a, b, f, g, f + 1, g + 1, f + 2, g + 2, f + 3, g + 3);
  } else {
    return __builtin_shufflevector(a, b, f, g, f + 1, g + 1);
  }
}

/// After as many rounds as kLanes has bits, row i is column i: each round takes rows i and i + kLanes / 2 in turns (Pease, 1968).
inline __attribute__((always_inline)) void transpose(Elements (&rows)[kLanes]) {
#pragma GCC unroll 4
  for (int round = 1; round < kLanes; round *= 2) {
    Elements next[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = in_turns<false>(rows[i], rows[i + kLanes / 2]);
      next[2 * i + 1] = in_turns<true>(rows[i], rows[i + kLanes / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) rows[i] = next[i];
  }
}

/// Pixels of one block of channels, counted along the rows.
struct Strip {
  std::int32_t *plain, *blocked;
  std::int64_t plain_channel, blocked_row;  ///< from one to the next
  std::int64_t width, pixels;
  std::int64_t channels;  ///< that exist
  std::int32_t fill;      ///< of the others
};

/// Calls square(first pixel, distances of kLanes pixels in the blocked image) until all pixels have had their turn, some of them twice.
template <class Square>
inline __attribute__((always_inline)) void each_square(const Strip& s, const Square& square) {
  for (std::int64_t begin = 0; begin < s.pixels; begin += kLanes) {
    const std::int64_t first = smaller(begin, s.pixels - kLanes);
    Division at = split(first, s.width);
    std::int64_t distances[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      distances[i] = at.whole * s.blocked_row + at.rest * kLanes;
      if (++at.rest == s.width) at.rest = 0, ++at.whole;
    }
    square(first, distances);
  }
}

void to_blocks(const Strip& s) {
  std::int32_t missing[kLanes];
  for (std::int32_t& x : missing) x = s.fill;
  each_square(s, [&](std::int64_t first, const std::int64_t* distances) {
    Elements rows[kLanes];
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) rows[c] = load(c < s.channels ? s.plain + c * s.plain_channel + first : missing);
    transpose(rows);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) store(s.blocked + distances[i], rows[i]);
  });
}

void from_blocks(const Strip& s) {
  each_square(s, [&](std::int64_t first, const std::int64_t* distances) {
    Elements rows[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) rows[i] = load(s.blocked + distances[i]);
    transpose(rows);
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) {
      if (c < s.channels) store(s.plain + c * s.plain_channel + first, rows[c]);
    }
  });
}

/// Few pixels, or such that are not neighbours in the plain image.
void one_by_one(const Strip& s, bool to_blocked, std::int64_t plain_pixel) {
  for (std::int64_t x = 0; x < s.pixels; ++x) {
    const Division at = split(x, s.width);
    std::int32_t *plain = s.plain + x * plain_pixel, *blocked = s.blocked + at.whole * s.blocked_row + at.rest * kLanes;
    for (std::int64_t c = 0; c < s.channels; ++c) {
      std::int32_t &a = plain[c * s.plain_channel], &b = blocked[c];
      to_blocked ? b = a : a = b;
    }
    for (std::int64_t c = s.channels; to_blocked && c < kLanes; ++c) blocked[c] = s.fill;
  }
}

std::int64_t blocks(const ReorderShape& s) { return ceil_div(s.channels, kLanes); }
PlaneTiles tiles(const ReorderShape& s) { return tile_planes(s.batch * blocks(s), s.height, s.width * kLanes, kChunkElements); }

std::int64_t chunks(const ReorderShape& s) { return tiles(s).count(); }
std::size_t workspace(const ReorderShape&) { return 0; }

std::int32_t* first_of(const TensorView& v, std::int64_t n, std::int64_t channel, std::int64_t y) {
  return static_cast<std::int32_t*>(v.data) + n * v.strides[0] + channel * v.strides[1] + y * v.strides[2];
}

void run(const ReorderArgs& args, std::int64_t chunk, void*) {
  const ReorderShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Division place = split(chunk, t.row_chunks);
  const Range planes = piece(s.batch * blocks(s), t.planes_per_chunk, place.whole);
  const Range rows = piece(s.height, t.rows_per_chunk, place.rest);
  const bool to_blocked = s.in_block == 1;
  const TensorView &plain = to_blocked ? args.in : args.out, &blocked = to_blocked ? args.out : args.in;
  const bool one_strip = plain.strides[3] == 1 && plain.strides[2] == s.width;  // else each row is a strip
  const std::int64_t strip_rows = one_strip ? rows.size() : 1;
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const Division at = split(p, blocks(s));
    for (std::int64_t y = rows.begin; y < rows.end; y += strip_rows) {
      const Strip strip{.plain = first_of(plain, at.whole, at.rest * kLanes, y),
                        .blocked = first_of(blocked, at.whole, at.rest, y),
                        .plain_channel = plain.strides[1],
                        .blocked_row = blocked.strides[2],
                        .width = s.width,
                        .pixels = strip_rows * s.width,
                        .channels = smaller(kLanes, s.channels - at.rest * kLanes),
                        .fill = static_cast<std::int32_t>(args.fill)};
      if (plain.strides[3] != 1 || strip.pixels < kLanes) {
        one_by_one(strip, to_blocked, plain.strides[3]);
      } else if (to_blocked) {
        to_blocks(strip);
      } else {
        from_blocks(strip);
      }
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const ReorderCode KONV_ISA_CODE(reorder_transposed) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
