// Sums of two integer tensors that lie alike, row by row.
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/integer/quant.h"
#include "kernels/cpu/per_isa.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const IntegerAddCode KONV_ISA_CODE(add_integer_rows);

namespace KONV_ISA {
namespace {

std::int64_t groups(const IntegerAddShape& s) { return ceil_div(s.image.channels, s.block); }
PlaneTiles tiles(const IntegerAddShape& s) {
  return tile_planes(s.image.batch * groups(s), s.image.height, s.image.width * s.block, kChunkElements);
}

std::int64_t chunks(const IntegerAddShape& s) { return tiles(s).count(); }
std::size_t workspace(const IntegerAddShape&) { return 0; }

template <class T>
T* row_of(const TensorView& v, std::int64_t n, std::int64_t group, std::int64_t y) {
  return static_cast<T*>(v.data) + n * v.strides[0] + group * v.strides[1] + y * v.strides[2];
}

inline constexpr std::int64_t kPart = 64;  // elements at a time

template <class In, class Out>
void add_run(const IntegerAddArgs& args, const In* a, const In* b, Out* out, std::int64_t n, std::int64_t a_step, std::int64_t b_step,
             std::int64_t out_step) {
  const Requantize q = args.output;
  float v[kPart];
  for (std::int64_t begin = 0; begin < n; begin += kPart) {
    const std::int64_t count = smaller(kPart, n - begin);
    for (std::int64_t i = 0; i < count; ++i) {
      const float x = static_cast<float>(static_cast<std::int32_t>(a[(begin + i) * a_step]) - args.zero) * args.multiplier;
      const float y = static_cast<float>(static_cast<std::int32_t>(b[(begin + i) * b_step]) - q.residual_zero) * q.residual_multiplier;
      v[i] = x + y;
    }
    if (q.activation.kind != ActivationKind::none) {
      activate_row(q.activation, v, count);
      if (!std::is_same_v<Out, float>) {
        for (std::int64_t i = 0; i < count; ++i) v[i] = v[i] * q.rescale;
      }
    }
    for (std::int64_t i = 0; i < count; ++i) {
      if constexpr (std::is_same_v<Out, float>) {
        out[(begin + i) * out_step] = v[i];
      } else {
        out[(begin + i) * out_step] = static_cast<Out>(requantize(q, v[i]));
      }
    }
  }
}

template <class In, class Out>
void run_rows(const IntegerAddArgs& args, std::int64_t chunk) {
  const IntegerAddShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.image.batch * groups(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.image.height, t.rows_per_chunk, chunk % t.row_chunks);
  const auto step = [&](const TensorView& v) { return s.block == 1 ? v.strides[3] : 1; };
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const std::int64_t n = p / groups(s), group = p % groups(s);
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      add_run(args, row_of<const In>(args.a, n, group, y), row_of<const In>(args.b, n, group, y), row_of<Out>(args.out, n, group, y),
              s.image.width * s.block, step(args.a), step(args.b), step(args.out));
    }
  }
}

template <class In>
void run_from(const IntegerAddArgs& args, std::int64_t chunk) {
  switch (args.shape.out) {
    case DType::float32: return run_rows<In, float>(args, chunk);
    case DType::int16: return run_rows<In, std::int16_t>(args, chunk);
    default: return run_rows<In, std::uint8_t>(args, chunk);
  }
}

void run(const IntegerAddArgs& args, std::int64_t chunk, void*) {
  args.shape.in == DType::int16 ? run_from<std::int16_t>(args, chunk) : run_from<std::uint8_t>(args, chunk);
}

}  // namespace
}  // namespace KONV_ISA

const IntegerAddCode KONV_ISA_CODE(add_integer_rows) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
