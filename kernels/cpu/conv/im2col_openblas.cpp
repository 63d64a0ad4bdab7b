// Convolution as a product of matrices by OpenBLAS, the baseline that the other algorithms are measured against: a chunk gathers the columns
// [K = Cin/groups x KH x KW][pixels] of its output pixels and multiplies weights [Cout/groups][K] by them. Products run one at a time
// (see gemm/openblas.h), gathering and epilogue side by side.
#if KONV_HAVE_OPENBLAS

#include <cblas.h>

#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/gemm_tiles.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/gemm/openblas.h"

namespace konv {
namespace {

GemmTiles tiles(const ConvShape& s) { return gemm_tiles(s, 1); }
std::int64_t chunks(const ConvShape& s) { return gemm_chunks(s, tiles(s)); }

std::size_t workspace(const ConvShape& s) {
  const GemmTiles t = tiles(s);
  return static_cast<std::size_t>((s.k() + t.rows) * t.columns()) * sizeof(float);
}

/// columns[k][image of the tile][pixel of the tile], dense.
void gather(const ConvArgs& args, const GemmTile& tile, float* columns) {
  const ConvShape& s = args.shape;
  const TensorView& in = args.in;
  const std::int64_t step = s.stride_w * in.strides[3];
  for (std::int64_t k = 0; k < s.k(); ++k) {
    const std::int64_t kx = k % s.kernel_w, ky = k / s.kernel_w % s.kernel_h, c = tile.group * s.group_in() + k / s.kernel_w / s.kernel_h;
    for (std::int64_t n = tile.images.begin; n < tile.images.end; ++n, columns += tile.pixels.size()) {
      const float* plane = in.f32() + n * in.strides[0] + c * in.strides[1];
      for_tap_runs(
          s, ky, kx, tile.pixels,
          [&](std::int64_t at, std::int64_t y, std::int64_t x, std::int64_t count) {
            const float* from = plane + y * in.strides[2] + x * in.strides[3];
            for (std::int64_t i = 0; i < count; ++i) columns[at + i] = from[i * step];
          },
          [&](std::int64_t at, std::int64_t count) {
            for (std::int64_t i = 0; i < count; ++i) columns[at + i] = 0;
          });
    }
  }
}

/// One channel's pixels of the tile, row by row of the image.
void finish(const ConvArgs& args, std::int64_t n, std::int64_t o, Range pixels, const float* sums) {
  const TensorView &out = args.out, &residual = args.residual;
  const float bias = args.bias ? args.bias[o] : 0.0f;
  const std::int64_t width = args.shape.out_w();
  for (std::int64_t p = pixels.begin; p < pixels.end;) {
    const std::int64_t y = p / width, x = p % width, count = smaller(width - x, pixels.end - p);
    float* to = out.f32() + n * out.strides[0] + o * out.strides[1] + y * out.strides[2] + x * out.strides[3];
    const float* add = nullptr;
    if (residual.data) {
      add = residual.f32() + n * residual.strides[0] + o * residual.strides[1] + y * residual.strides[2] + x * residual.strides[3];
    }
    if (out.strides[3] == 1 && (!add || residual.strides[3] == 1)) {
      epilogue_row(sums, to, count, bias, add, args.activation);
    } else {
      epilogue_strided(sums, to, out.strides[3], count, bias, add, residual.strides[3], args.activation);
    }
    sums += count;
    p += count;
  }
}

void run(const ConvArgs& args, std::int64_t chunk, void* workspace) {
  const ConvShape& s = args.shape;
  const GemmTile tile = gemm_tile(s, tiles(s), chunk);
  const std::int64_t columns = tile.images.size() * tile.pixels.size(), first = tile.group * s.group_out() + tile.rows.begin;
  auto* const gathered = static_cast<float*>(workspace);
  float* const sums = gathered + s.k() * columns;
  gather(args, tile, gathered);
  {
    const auto m = static_cast<blasint>(tile.rows.size()), n = static_cast<blasint>(columns), k = static_cast<blasint>(s.k());
    const float* weight = static_cast<const float*>(args.weight) + first * s.k();
    const std::lock_guard lock(openblas_mutex());
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, weight, k, gathered, n, 0.0f, sums, n);
  }
  const float* row = sums;
  for (std::int64_t i = 0; i < tile.rows.size(); ++i) {
    for (std::int64_t n = tile.images.begin; n < tile.images.end; ++n, row += tile.pixels.size())
      finish(args, n, first + i, tile.pixels, row);
  }
}

}  // namespace

extern const ConvCode conv_im2col_openblas_f32_code;
const ConvCode conv_im2col_openblas_f32_code = {{chunks, workspace, run}, 1, 1, nullptr, nullptr, nullptr};

}  // namespace konv

#endif
