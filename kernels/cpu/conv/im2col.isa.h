// Convolution as matrix products: weights [Cout/groups][K] times a column per output pixel, K = Cin/groups x KH x KW.
// Columns are gathered straight into the panels that the product reads; a 1x1 kernel's are the pixels as they lie.
// With pruned rows, only those that some output channel reads are gathered, tap by tap, and the product is as much shorter.
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/gemm_tiles.h"
#include "kernels/cpu/conv/rows.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/gemm/packed.h"

namespace konv {

extern const ConvCode KONV_ISA_CODE(conv_im2col_f32);
extern const ConvCode KONV_ISA_CODE(conv_pointwise_f32);
extern const ConvCode KONV_ISA_CODE(conv_im2col_kept_f32);

namespace KONV_ISA {
namespace {

GemmTiles tiles(const ConvShape& s) { return gemm_tiles(s, kMr); }
std::int64_t padded(std::int64_t columns) { return round_up(columns, kNr); }

/// Where column j of tap k lies in the panels.
struct Panels {
  float* data;
  std::int64_t k_count;
  float* at(std::int64_t k, std::int64_t column) const { return data + (column / kNr * k_count + k) * kNr + column % kNr; }
};

/// Fewer floats than a panel is wide: whole vectors, the last of which overlaps the one before.
void copy_part(float* to, const float* from, std::int64_t count) {
  if (count < kLanes) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = from[i];
    return;
  }
  store(to, load(from));
  store(to + count - kLanes, load(from + count - kLanes));
}

void copy_run(const Panels& to, std::int64_t k, std::int64_t column, const float* from, std::int64_t step, std::int64_t count) {
  while (count > 0) {
    float* p = to.at(k, column);
    const std::int64_t part = smaller(count, kNr - column % kNr);
    if (step == 1 && part == kNr) {
      store(p, load(from));
      store(p + kLanes, load(from + kLanes));
    } else if (step == 1) {
      copy_part(p, from, part);
    } else {
      for (std::int64_t i = 0; i < part; ++i) p[i] = from[i * step];
    }
    from += part * step;
    column += part;
    count -= part;
  }
}

void zero_run(const Panels& to, std::int64_t k, std::int64_t column, std::int64_t count) {
  while (count > 0) {
    float* p = to.at(k, column);
    const std::int64_t part = smaller(count, kNr - column % kNr);
    for (std::int64_t i = 0; i < part; ++i) p[i] = 0;
    column += part;
    count -= part;
  }
}

/// The rows that pruning has left, by taps: those of tap t are channels [tap_begin[t]] to [tap_begin[t + 1]] of the list.
struct KeptTaps {
  const std::int32_t* tap_begin;
  const std::int32_t* channel;
};

void gather_kept(const ConvArgs& args, const KeptTaps& kept, const GemmTile& tile, const Panels& to) {
  const ConvShape& s = args.shape;
  const TensorView& in = args.in;
  const std::int64_t columns = tile.images.size() * tile.pixels.size();
  for (std::int64_t k = 0; k < to.k_count; ++k) zero_run(to, k, columns, padded(columns) - columns);
  for (std::int64_t n = tile.images.begin; n < tile.images.end; ++n) {
    const float* image = in.f32() + n * in.strides[0];
    const std::int64_t column = (n - tile.images.begin) * tile.pixels.size();
    for (std::int64_t tap = 0; tap < s.kernel_h * s.kernel_w; ++tap) {
      const std::int64_t begin = kept.tap_begin[tap], end = kept.tap_begin[tap + 1];
      for_tap_runs(
          s, tap / s.kernel_w, tap % s.kernel_w, tile.pixels,
          [&](std::int64_t at, std::int64_t y, std::int64_t x, std::int64_t count) {
            const float* from = image + y * in.strides[2] + x * in.strides[3];
            for (std::int64_t k = begin; k < end; ++k)
              copy_run(to, k, column + at, from + kept.channel[k] * in.strides[1], s.stride_w * in.strides[3], count);
          },
          [&](std::int64_t at, std::int64_t count) {
            for (std::int64_t k = begin; k < end; ++k) zero_run(to, k, column + at, count);
          });
    }
  }
}

void gather(const ConvArgs& args, const GemmTile& tile, const Panels& to) {
  const ConvShape& s = args.shape;
  const TensorView& in = args.in;
  const std::int64_t columns = tile.images.size() * tile.pixels.size();
  const bool pixels_as_they_lie = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 && s.out_h() == s.in_h &&
                                  s.out_w() == s.in_w && s.pad_top == 0 && s.pad_left == 0 && in.strides[3] == 1 && in.strides[2] == s.in_w;
  const std::int64_t taps = s.kernel_h * s.kernel_w, k_count = s.k();
  for (std::int64_t k = 0; k < k_count; ++k) zero_run(to, k, columns, padded(columns) - columns);
  // Channels innermost: finding out which pixels of a tap lie in the image takes longer than copying a short row.
  for (std::int64_t n = tile.images.begin; n < tile.images.end; ++n) {
    const float* image = in.f32() + n * in.strides[0] + tile.group * s.group_in() * in.strides[1];
    const std::int64_t column = (n - tile.images.begin) * tile.pixels.size();
    if (pixels_as_they_lie) {
      for (std::int64_t k = 0; k < k_count; ++k)
        copy_run(to, k, column, image + k * in.strides[1] + tile.pixels.begin, 1, tile.pixels.size());
      continue;
    }
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for_tap_runs(
          s, tap / s.kernel_w, tap % s.kernel_w, tile.pixels,
          [&](std::int64_t at, std::int64_t y, std::int64_t x, std::int64_t count) {
            const float* from = image + y * in.strides[2] + x * in.strides[3];
            for (std::int64_t k = tap; k < k_count; k += taps, from += in.strides[1]) {
              copy_run(to, k, column + at, from, s.stride_w * in.strides[3], count);
            }
          },
          [&](std::int64_t at, std::int64_t count) {
            for (std::int64_t k = tap; k < k_count; k += taps) zero_run(to, k, column + at, count);
          });
    }
  }
}

/// Finishes one output channel of one image: `sums` holds its pixels of the tile.
void finish(const ConvArgs& args, std::int64_t n, std::int64_t o, Range pixels, const float* sums) {
  const TensorView &out = args.out, &residual = args.residual;
  const float bias = args.bias ? args.bias[o] : 0.0f;
  float* to = out.f32() + n * out.strides[0] + o * out.strides[1];
  const float* add = residual.data ? residual.f32() + n * residual.strides[0] + o * residual.strides[1] : nullptr;
  const std::int64_t width = args.shape.out_w();
  const bool dense = out.strides[3] == 1 && out.strides[2] == width && (!add || (residual.strides[3] == 1 && residual.strides[2] == width));
  if (dense) {
    epilogue_row(sums, to + pixels.begin, pixels.size(), bias, add ? add + pixels.begin : nullptr, args.activation);
    return;
  }
  const bool unit = out.strides[3] == 1 && (!add || residual.strides[3] == 1);
  for (std::int64_t p = pixels.begin; p < pixels.end;) {
    const std::int64_t y = p / width, x = p % width, count = smaller(width - x, pixels.end - p);
    float* row = to + y * out.strides[2] + x * out.strides[3];
    const float* add_row = add ? add + y * residual.strides[2] + x * residual.strides[3] : nullptr;
    if (unit) {
      epilogue_row(sums, row, count, bias, add_row, args.activation);
    } else {
      epilogue_strided(sums, row, out.strides[3], count, bias, add_row, residual.strides[3], args.activation);
    }
    sums += count;
    p += count;
  }
}

std::int64_t chunks(const ConvShape& s) { return gemm_chunks(s, tiles(s)); }

std::size_t workspace(const ConvShape& s) {
  const GemmTiles t = tiles(s);
  return static_cast<std::size_t>((s.k() + t.rows) * padded(t.columns())) * sizeof(float);
}

/// The product of the gathered columns and `weight`, the packed rows of the tile's group.
void multiply(const ConvArgs& args, const GemmTile& tile, const float* weight, const Panels& panels) {
  const std::int64_t columns = tile.images.size() * tile.pixels.size(), ldc = padded(columns), m = args.shape.group_out();
  float* sums = panels.data + panels.k_count * ldc;
  multiply_packed(weight, m, tile.rows, panels.data, columns, panels.k_count, sums, ldc);
  for (std::int64_t i = 0; panels.k_count == 0 && i < tile.rows.size() * ldc; ++i) sums[i] = 0;  // all rows pruned
  for (std::int64_t i = tile.rows.begin; i < tile.rows.end; ++i) {
    const float* row = sums + (i - tile.rows.begin) * ldc;
    for (std::int64_t n = tile.images.begin; n < tile.images.end; ++n, row += tile.pixels.size()) {
      finish(args, n, tile.group * m + i, tile.pixels, row);
    }
  }
}

void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const GemmTile tile = gemm_tile(s, tiles(s), chunk);
  const Panels panels{static_cast<float*>(workspace), s.k()};
  gather(args, tile, panels);
  multiply(args, tile, static_cast<const float*>(args.weight) + tile.group * s.group_out() * s.k(), panels);
}

std::size_t packed_bytes(const ConvShape& s) { return static_cast<std::size_t>(s.weight_count()) * sizeof(float); }

void pack(const ConvShape& s, const float* weight, void* packed) {
  for (std::int64_t g = 0; g < s.groups; ++g) {
    const std::int64_t at = g * s.group_out() * s.k();
    pack_a(weight + at, s.k(), 1, s.group_out(), s.k(), static_cast<float*>(packed) + at);
  }
}

/// Ahead of the weights: KeptTaps.
std::int64_t taps_bytes(const ConvShape& s) { return round_up((s.kernel_h * s.kernel_w + 1 + s.kept_rows) * 4, 64); }

void run_kept(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const GemmTile tile = gemm_tile(s, tiles(s), chunk);
  const Panels panels{static_cast<float*>(workspace), s.kept_rows};
  const auto* begin = static_cast<const std::int32_t*>(args.weight);
  gather_kept(args, {begin, begin + s.kernel_h * s.kernel_w + 1}, tile, panels);
  multiply(args, tile, reinterpret_cast<const float*>(static_cast<const char*>(args.weight) + taps_bytes(s)), panels);
}

std::size_t kept_packed_bytes(const ConvShape& s) { return static_cast<std::size_t>(taps_bytes(s) + s.out_channels * s.kept_rows * 4); }

void pack_kept(const ConvShape& s, const float* weight, void* packed) {
  const std::int64_t taps = s.kernel_h * s.kernel_w;
  auto* begin = static_cast<std::int32_t*>(packed);
  std::int32_t *channel = begin + taps + 1, count = 0;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    begin[tap] = count;
    for (std::int64_t c = 0; c < s.in_channels; ++c) {
      if (reads_row(s, weight, c * taps + tap)) channel[count++] = static_cast<std::int32_t>(c);
    }
  }
  begin[taps] = count;
  // As pack_a does, of the kept columns.
  auto* to = reinterpret_cast<float*>(static_cast<char*>(packed) + taps_bytes(s));
  for (std::int64_t p0 = 0; p0 < count; p0 += kKc) {
    for (std::int64_t i0 = 0; i0 < s.out_channels; i0 += kMr) {
      std::int64_t tap = 0;
      for (std::int64_t p = p0; p < smaller(count, p0 + kKc); ++p) {
        while (begin[tap + 1] <= p) ++tap;
        for (std::int64_t i = i0; i < smaller(s.out_channels, i0 + kMr); ++i) *to++ = weight[i * s.k() + channel[p] * taps + tap];
      }
    }
  }
}

}  // namespace
}  // namespace KONV_ISA

const ConvCode KONV_ISA_CODE(conv_im2col_f32) = {
    {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run}, 1, 1, nullptr, KONV_ISA::packed_bytes, KONV_ISA::pack};
const ConvCode KONV_ISA_CODE(conv_im2col_kept_f32) = {
    {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run_kept}, 1, 1, nullptr, KONV_ISA::kept_packed_bytes, KONV_ISA::pack_kept};
const ConvCode KONV_ISA_CODE(conv_pointwise_f32) = {
    {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run}, 1, 1, nullptr, KONV_ISA::packed_bytes, KONV_ISA::pack};

}  // namespace konv
