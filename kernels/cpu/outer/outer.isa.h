// Outer products: a tile of c stays in registers while it runs over the samples.
#include "kernels/cpu/outer/outer.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const OuterCode KONV_ISA_CODE(outer_f64);

namespace KONV_ISA {
namespace {

inline constexpr int kDoubles = kLanes / 2;
typedef double Doubles __attribute__((vector_size(sizeof(double) * kDoubles)));

inline constexpr int kTileRows = kRegisters >= 32 ? 8 : 4, kTileVectors = 2;
inline constexpr std::int64_t kTileColumns = kTileVectors * kDoubles;
static_assert(kOuterBlock % kTileRows == 0 && kOuterBlock % kTileColumns == 0);

inline __attribute__((always_inline)) Doubles load_doubles(const double* p) {
  Doubles v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

void tile(const OuterArgs& args, std::int64_t i, std::int64_t j) {
  Doubles sums[kTileRows][kTileVectors] = {};
  const double *a = args.a + i, *b = args.b + j;
  for (std::int64_t n = 0; n < args.shape.rows; ++n, a += args.a_stride, b += args.b_stride) {
    Doubles right[kTileVectors];
    for (int v = 0; v < kTileVectors; ++v) right[v] = load_doubles(b + v * kDoubles);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) sums[r][v] += a[r] * right[v];
    }
  }
  for (int r = 0; r < kTileRows; ++r) {
    double* to = args.c + (i + r) * args.c_stride + j;
    for (int v = 0; v < kTileVectors; ++v) {
      const Doubles sum = load_doubles(to + v * kDoubles) + sums[r][v];
      std::memcpy(to + v * kDoubles, &sum, sizeof sum);
    }
  }
}

std::int64_t chunks(const OuterShape& s) { return ceil_div(s.a, kTileRows); }
std::size_t workspace(const OuterShape&) { return 0; }

void run(const OuterArgs& args, std::int64_t chunk, void*) {
  const std::int64_t i = chunk * kTileRows;
  for (std::int64_t j = args.shape.upper ? i / kTileColumns * kTileColumns : 0; j < args.shape.b; j += kTileColumns) tile(args, i, j);
}

}  // namespace
}  // namespace KONV_ISA

const OuterCode KONV_ISA_CODE(outer_f64) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
