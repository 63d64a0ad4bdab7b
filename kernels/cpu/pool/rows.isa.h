// Pooling along the rows of a padded buffer (see phase_rows.h). Padding is -infinity or 0, so the loops know no edge.
#include "kernels/cpu/phase_rows.h"
#include "kernels/cpu/pool/divisor.h"
#include "kernels/cpu/pool/pool.h"

namespace konv {

extern const PoolCode KONV_ISA_CODE(pool_rows_f32);

namespace KONV_ISA {
namespace {

PhaseRows buffer_of(const PoolShape& s) {
  return {s.in_h, s.in_w, s.out_w, s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.pad_top, s.pad_left};
}

PlaneTiles tiles(const PoolShape& s) {
  return tile_planes(s.batch * s.channels, s.out_h, round_up(s.out_w, kLanes) * s.kernel_h * s.kernel_w + s.stride_h * s.in_w,
                     kChunkMacs / 2);
}

template <bool Average>
void pool_row(const std::int64_t* taps, std::int64_t count, const float* in, float* sums, std::int64_t width) {
  for (std::int64_t x = 0; x < width; x += kLanes) {
    Vector acc = load(in + x);  // tap 0
    for (std::int64_t t = 1; t < count; ++t) {
      const Vector value = load(in + taps[t] + x);
      if constexpr (Average) {
        acc += value;
      } else {
        acc = acc < value ? value : acc;
      }
    }
    store(sums + x, acc);
  }
}

void copy_strided(const float* in, float* out, std::int64_t step, std::int64_t n) {
  if (step == 1) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = in[i];
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i * step] = in[i];
  }
}

/// Windows of 2x2 two apart, without padding: read where they lie.
bool halves(const PoolArgs& args) {
  const PoolShape& s = args.shape;
  return s.kernel_h == 2 && s.kernel_w == 2 && s.stride_h == 2 && s.stride_w == 2 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.pad_top == 0 && s.pad_left == 0 && 2 * s.out_h <= s.in_h && 2 * s.out_w <= s.in_w && args.in.strides[3] == 1 &&
         args.out.strides[3] == 1;
}

template <int Lanes>
struct Wide {
  using Floats [[gnu::vector_size(sizeof(float) * Lanes)]] = float;
  using Ints [[gnu::vector_size(sizeof(int) * Lanes)]] = int;
};

/// `Lanes` outputs from two rows of 2 Lanes pixels.
template <bool Average, int Lanes>
inline __attribute__((always_inline)) void halve(const float* upper, const float* lower, float* out) {
  using V = typename Wide<Lanes>::Floats;
  typename Wide<Lanes>::Ints even, odd;
#pragma GCC unroll 16
  for (int i = 0; i < Lanes; ++i) even[i] = 2 * i, odd[i] = 2 * i + 1;
  V a[2], b[2];
  std::memcpy(a, upper, sizeof a);
  std::memcpy(b, lower, sizeof b);
  const V a0 = __builtin_shuffle(a[0], a[1], even), a1 = __builtin_shuffle(a[0], a[1], odd);
  const V b0 = __builtin_shuffle(b[0], b[1], even), b1 = __builtin_shuffle(b[0], b[1], odd);
  V y;
  if constexpr (Average) {
    y = ((a0 + a1) + (b0 + b1)) * 0.25f;
  } else {
    y = a0 < a1 ? a1 : a0;
    y = y < b0 ? b0 : y;
    y = y < b1 ? b1 : y;
  }
  std::memcpy(out, &y, sizeof y);
}

/// A row of outputs; the last vector overlaps the one before.
template <bool Average, int Lanes>
void halve_row(const float* upper, const float* lower, float* out, std::int64_t width) {
  for (std::int64_t x = 0; x < width; x += Lanes) {
    const std::int64_t at = smaller(x, width - Lanes);
    halve<Average, Lanes>(upper + 2 * at, lower + 2 * at, out + at);
  }
}

template <bool Average>
void halve_plane(const PoolArgs& args, std::int64_t plane, Range rows) {
  const PoolShape& s = args.shape;
  const std::int64_t n = plane / s.channels, c = plane % s.channels;
  const float* in = args.in.f32() + n * args.in.strides[0] + c * args.in.strides[1];
  float* out = args.out.f32() + n * args.out.strides[0] + c * args.out.strides[1];
  for (std::int64_t y = rows.begin; y < rows.end; ++y) {
    const float *upper = in + 2 * y * args.in.strides[2], *lower = upper + args.in.strides[2];
    float* to = out + y * args.out.strides[2];
    if (s.out_w >= kLanes) {
      halve_row<Average, kLanes>(upper, lower, to, s.out_w);
    } else if (kLanes > 8 && s.out_w >= 8) {
      halve_row<Average, kLanes >= 8 ? 8 : 4>(upper, lower, to, s.out_w);
    } else if (s.out_w >= 4) {
      halve_row<Average, 4>(upper, lower, to, s.out_w);
    } else {
      for (std::int64_t x = 0; x < s.out_w; ++x) {
        const float *a = upper + 2 * x, *b = lower + 2 * x;
        const float left = a[0] < a[1] ? a[1] : a[0], right = b[0] < b[1] ? b[1] : b[0];
        to[x] = Average ? ((a[0] + a[1]) + (b[0] + b[1])) * 0.25f : left < right ? right : left;
      }
    }
  }
}

void run_plane(const PoolArgs& args, std::int64_t plane, Range rows, const std::int64_t* taps, float* workspace) {
  const PoolShape& s = args.shape;
  const PhaseRows buffer = buffer_of(s);
  const std::int64_t n = plane / s.channels, c = plane % s.channels, width = round_up(s.out_w, kLanes);
  const float* from = args.in.f32() + n * args.in.strides[0] + c * args.in.strides[1];
  float *sums = workspace, *columns = workspace + width, *padded = workspace + 2 * width;  // columns: divisors, filled by run()
  gather_phases(buffer, from, args.in.strides[2], args.in.strides[3], rows, s.average ? 0.0f : -__builtin_inff(), padded);
  for (std::int64_t y = rows.begin; y < rows.end; ++y) {
    const float* in = padded + (y - rows.begin) * s.stride_h * buffer.row_floats();
    float* out = args.out.f32() + n * args.out.strides[0] + c * args.out.strides[1] + y * args.out.strides[2];
    if (!s.average) {
      pool_row<false>(taps, buffer.taps(), in, sums, width);
      copy_strided(sums, out, args.out.strides[3], s.out_w);
      continue;
    }
    pool_row<true>(taps, buffer.taps(), in, sums, width);
    const auto count = static_cast<float>(divisor_rows(s, y));
    for (std::int64_t x = 0; x < s.out_w; ++x) {
      const float divisor = count * columns[x];
      sums[x] = divisor > 0 ? sums[x] / divisor : 0.0f;
    }
    copy_strided(sums, out, args.out.strides[3], s.out_w);
  }
}

std::int64_t chunks(const PoolShape& s) { return tiles(s).count(); }

std::size_t workspace(const PoolShape& s) {
  const std::int64_t rows = smaller(tiles(s).rows_per_chunk, larger(1, s.out_h));
  const std::int64_t floats = buffer_of(s).plane_floats(rows) + 2 * round_up(s.out_w, kLanes);
  return static_cast<std::size_t>(buffer_of(s).taps()) * sizeof(std::int64_t) + static_cast<std::size_t>(floats) * sizeof(float);
}

void run(const PoolArgs& args, std::int64_t chunk, void* workspace) {
  const PoolShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h, t.rows_per_chunk, chunk % t.row_chunks);
  auto* taps = static_cast<std::int64_t*>(workspace);
  buffer_of(s).write_taps(taps);
  auto* floats = reinterpret_cast<float*>(taps + s.kernel_h * s.kernel_w);
  if (s.average) {
    float* columns = floats + round_up(s.out_w, kLanes);
    for (std::int64_t x = 0; x < s.out_w; ++x) columns[x] = static_cast<float>(divisor_columns(s, x));
  }
  if (halves(args)) {
    for (std::int64_t p = planes.begin; p < planes.end; ++p) {
      if (s.average) {
        halve_plane<true>(args, p, rows);
      } else {
        halve_plane<false>(args, p, rows);
      }
    }
    return;
  }
  for (std::int64_t p = planes.begin; p < planes.end; ++p) run_plane(args, p, rows, taps, floats);
}

}  // namespace
}  // namespace KONV_ISA

const PoolCode KONV_ISA_CODE(pool_rows_f32) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
