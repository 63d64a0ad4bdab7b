// Real numbers to integers and back, in any layout. Rows whose elements lie side by side on both sides are one loop.
#include "kernels/cpu/integer/quant.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const RequantizeCode KONV_ISA_CODE(requantize_rows);

namespace KONV_ISA {
namespace {

std::int64_t together(const RequantizeShape& s) { return larger(s.in_block, s.out_block); }
std::int64_t groups(const RequantizeShape& s) { return ceil_div(s.image.channels, together(s)); }
PlaneTiles tiles(const RequantizeShape& s) {
  return tile_planes(s.image.batch * groups(s), s.image.height, s.image.width * together(s), kChunkElements);
}

std::int64_t chunks(const RequantizeShape& s) { return tiles(s).count(); }
std::size_t workspace(const RequantizeShape&) { return 0; }

template <class T>
T* row_of(const TensorView& v, int block, std::int64_t n, std::int64_t c, std::int64_t y) {
  return static_cast<T*>(v.data) + n * v.strides[0] + c / block * v.strides[1] + y * v.strides[2] + c % block;
}

template <class In, class Out>
inline __attribute__((always_inline)) Out convert(const RequantizeArgs& args, In x) {
  float v;
  if constexpr (std::is_same_v<In, float>) {
    v = x / args.divisor;
  } else {
    v = static_cast<float>(static_cast<std::int32_t>(x) - args.in_zero) * args.multiplier;
  }
  if constexpr (std::is_same_v<Out, float>) {
    return v;
  } else {
    return static_cast<Out>(requantize(args.output, v));
  }
}

template <class In, class Out>
void convert_run(const RequantizeArgs& args, const In* in, std::int64_t in_step, Out* out, std::int64_t out_step, std::int64_t n) {
  if (in_step == 1 && out_step == 1) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) out[i] = convert<In, Out>(args, in[i]);
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i * out_step] = convert<In, Out>(args, in[i * in_step]);
  }
}

/// A row of up to four planes of real numbers as pixels of four bytes: a network's first layer reads them so.
void interleave_row(const RequantizeArgs& args, std::int64_t n, std::int64_t y) {
  constexpr std::int64_t kPart = 64;
  const RequantizeShape& s = args.shape;
  std::uint8_t planes[4][kPart];
  std::memset(planes, args.output.zero, sizeof planes);
  auto* out = row_of<std::uint8_t>(args.out, 4, n, 0, y);
  for (std::int64_t x = 0; x < s.image.width; x += kPart) {
    const std::int64_t count = smaller(kPart, s.image.width - x);
    for (std::int64_t c = 0; c < s.image.channels; ++c)
      convert_run(args, row_of<const float>(args.in, 1, n, c, y) + x, 1, planes[c], 1, count);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint32_t pixel =
          planes[0][i] | std::uint32_t{planes[1][i]} << 8 | std::uint32_t{planes[2][i]} << 16 | std::uint32_t{planes[3][i]} << 24;
      std::memcpy(out + 4 * (x + i), &pixel, 4);
    }
  }
}

/// Lanes behind the last channel get the zero point.
template <class In, class Out>
void convert_row(const RequantizeArgs& args, std::int64_t n, std::int64_t group, std::int64_t y) {
  const RequantizeShape& s = args.shape;
  const std::int64_t first = group * together(s), channels = smaller(first + together(s), s.image.channels), width = s.image.width;
  const std::int64_t in_pixel = args.in.strides[3], out_pixel = args.out.strides[3];
  if (s.in_block == s.out_block && in_pixel == s.in_block && out_pixel == s.out_block)
    return convert_run(args, row_of<const In>(args.in, s.in_block, n, first, y), 1, row_of<Out>(args.out, s.out_block, n, first, y), 1,
                       width * s.in_block);
  if constexpr (std::is_same_v<In, float> && std::is_same_v<Out, std::uint8_t>) {
    if (s.in_block == 1 && s.out_block == 4 && s.image.channels <= 4 && in_pixel == 1 && out_pixel == 4) return interleave_row(args, n, y);
  }
  for (std::int64_t c = first; c < channels; ++c)
    convert_run(args, row_of<const In>(args.in, s.in_block, n, c, y), in_pixel, row_of<Out>(args.out, s.out_block, n, c, y), out_pixel,
                width);
  for (std::int64_t c = channels; c < round_up(channels, s.out_block); ++c) {
    Out* out = row_of<Out>(args.out, s.out_block, n, c, y);
    for (std::int64_t x = 0; x < width; ++x) out[x * out_pixel] = static_cast<Out>(args.output.zero);
  }
}

template <class In, class Out>
void run_rows(const RequantizeArgs& args, std::int64_t chunk) {
  const RequantizeShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.image.batch * groups(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.image.height, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    for (std::int64_t y = rows.begin; y < rows.end; ++y) convert_row<In, Out>(args, p / groups(s), p % groups(s), y);
  }
}

template <class In>
void run_from(const RequantizeArgs& args, std::int64_t chunk) {
  switch (args.shape.out) {
    case DType::float32: return run_rows<In, float>(args, chunk);
    case DType::int16: return run_rows<In, std::int16_t>(args, chunk);
    default: return run_rows<In, std::uint8_t>(args, chunk);
  }
}

void run(const RequantizeArgs& args, std::int64_t chunk, void*) {
  switch (args.shape.in) {
    case DType::float32: return run_from<float>(args, chunk);
    case DType::int16: return run_from<std::int16_t>(args, chunk);
    default: return run_from<std::uint8_t>(args, chunk);
  }
}

}  // namespace
}  // namespace KONV_ISA

const RequantizeCode KONV_ISA_CODE(requantize_rows) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
