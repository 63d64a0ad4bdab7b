// Images between layouts, and the ring around them.
#include "kernels/cpu/copy/copy.h"
#include "kernels/cpu/copy/element.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_element_size(const ReorderShape& s) { return refuse_bytes(s.element_bytes); }

double cost_halo(const ReorderShape& s, const Machine&) {
  return 1e-9 * static_cast<double>(s.batch * round_up(s.channels, s.out_block) * (s.height + s.width)) + kCallSeconds;
}

std::int64_t out_blocks(const ReorderShape& s) { return ceil_div(s.channels, s.out_block); }

/// Channels that a row of work covers: the wider of the two blocks.
std::int64_t together(const ReorderShape& s) { return larger(s.in_block, s.out_block); }
std::int64_t groups(const ReorderShape& s) { return ceil_div(s.channels, together(s)); }

double cost_reorder(const ReorderShape& s, const Machine& m) {
  const auto elements = static_cast<double>(s.batch * round_up(s.channels, together(s)) * s.height * s.width);
  return stream_seconds(2 * elements * s.element_bytes, m) + 0.7e-9 * elements + kCallSeconds;
}

template <int Lanes>
const char* refuse_other_blocks(const ReorderShape& s) {
  if (s.element_bytes != 4) return "elements are not of 4 bytes";
  const bool fits = (s.in_block == 1 && s.out_block == Lanes) || (s.in_block == Lanes && s.out_block == 1);
  return fits ? nullptr : "not between plain and blocks of a vector's lanes";
}

double cost_transposed(const ReorderShape& s, const Machine& m) {
  const std::int64_t block = together(s), pixels = s.height * s.width;
  const auto squares = static_cast<double>(s.batch * groups(s) * ceil_div(pixels, block));
  const double seconds = pixels < block ? 200e-9 : 50e-9;  // few pixels go one by one
  return stream_seconds(squares * static_cast<double>(2 * block * block * s.element_bytes), m) + squares * seconds + kCallSeconds;
}

PlaneTiles tiles(const ReorderShape& s) { return tile_planes(s.batch * groups(s), s.height, s.width * together(s), kChunkElements); }

std::int64_t chunks(const ReorderShape& s) { return tiles(s).count(); }
std::size_t workspace(const ReorderShape&) { return 0; }

/// The first element of row y of channel c.
template <class T>
T* row_of(const TensorView& v, int block, std::int64_t n, std::int64_t c, std::int64_t y) {
  return static_cast<T*>(v.data) + n * v.strides[0] + c / block * v.strides[1] + y * v.strides[2] + c % block;
}

/// One row of one group of channels, 16 pixels at a time, so that the lines of both sides stay in L1. One side is plain or both are blocked alike.
template <class T>
void reorder_row(const ReorderArgs& args, std::int64_t n, std::int64_t group, std::int64_t y) {
  const ReorderShape& s = args.shape;
  const std::int64_t first = group * together(s), in_step = args.in.strides[3], out_step = args.out.strides[3];
  const std::int64_t in_channel = s.in_block == 1 ? args.in.strides[1] : 1, out_channel = s.out_block == 1 ? args.out.strides[1] : 1;
  const std::int64_t count = smaller(together(s), s.channels - first), pad = s.out_block == 1 ? 0 : s.out_block - count;
  const T* in = row_of<const T>(args.in, s.in_block, n, first, y);
  T* out = row_of<T>(args.out, s.out_block, n, first, y);
  for (std::int64_t x = 0; x < s.width; x += 16, in += 16 * in_step, out += 16 * out_step) {
    const std::int64_t width = smaller(16, s.width - x);
    for (std::int64_t c = 0; c < count; ++c) copy_run(in + c * in_channel, in_step, out + c * out_channel, out_step, width);
    for (std::int64_t c = count; c < count + pad; ++c) fill_run(out + c, out_step, width, first_bytes<T>(args.fill));
  }
}

/// From blocks of one size to blocks of another.
template <class T>
void reorder_blocks_row(const ReorderArgs& args, std::int64_t n, std::int64_t group, std::int64_t y) {
  const ReorderShape& s = args.shape;
  const std::int64_t first = group * together(s), last = smaller(first + together(s), round_up(s.channels, s.out_block));
  for (std::int64_t c = first; c < last; ++c) {
    T* out = row_of<T>(args.out, s.out_block, n, c, y);
    if (c < s.channels) {
      copy_run(row_of<const T>(args.in, s.in_block, n, c, y), args.in.strides[3], out, args.out.strides[3], s.width);
    } else {
      fill_run(out, args.out.strides[3], s.width, first_bytes<T>(args.fill));
    }
  }
}

template <class T>
void copy_whole_row(const ReorderArgs& args, std::int64_t n, std::int64_t c, std::int64_t y) {
  copy_run(static_cast<const T*>(row_of<T>(args.in, 1, n, c, y)), args.in.strides[3], row_of<T>(args.out, 1, n, c, y), args.out.strides[3],
           args.shape.width);
}

void run_reorder(const ReorderArgs& args, std::int64_t chunk, void*) {
  const ReorderShape& s = args.shape;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * groups(s), t.planes_per_chunk, chunk / t.row_chunks);
  const bool two_blocks = s.in_block > 1 && s.out_block > 1 && s.in_block != s.out_block;
  const Range rows = piece(s.height, t.rows_per_chunk, chunk % t.row_chunks);
  with_element(s.element_bytes, [&](auto element) {
    using T = decltype(element);
    for (std::int64_t p = planes.begin; p < planes.end; ++p) {
      const std::int64_t n = p / groups(s), group = p % groups(s);
      for (std::int64_t y = rows.begin; y < rows.end; ++y) {
        if (s.in_block == 1 && s.out_block == 1) {
          copy_whole_row<T>(args, n, group, y);
        } else if (two_blocks) {
          reorder_blocks_row<T>(args, n, group, y);
        } else {
          reorder_row<T>(args, n, group, y);
        }
      }
    }
  });
}

/// The ring of one block of channels, whose pixels lie `block` elements apart without gaps.
template <class T>
void fill_ring(const HaloArgs& args, std::int64_t n, std::int64_t channel_block) {
  const ReorderShape& s = args.shape;
  const TensorView& out = args.out;
  const T value = first_bytes<T>(args.fill);
  const std::int64_t pixel = out.strides[3], full = args.left + s.width + args.right;
  T* image = static_cast<T*>(out.data) + n * out.strides[0] + channel_block * out.strides[1];
  const auto fill = [&](std::int64_t y, std::int64_t x, std::int64_t pixels) {
    T* at = image + y * out.strides[2] + x * pixel;
    if (pixel == s.out_block) return fill_run(at, 1, pixels * s.out_block, value);
    for (std::int64_t lane = 0; lane < s.out_block; ++lane) fill_run(at + lane, pixel, pixels, value);
  };
  if (out.strides[2] == full * pixel) {  // what is right of a row and left of the next one lies side by side
    fill(-args.top, -args.left, args.top * full + args.left);
    for (std::int64_t y = 0; y + 1 < s.height; ++y) fill(y, s.width, args.right + args.left);
    fill(s.height - 1, s.width, args.right + args.bottom * full);
    return;
  }
  for (std::int64_t y = -args.top; y < 0; ++y) fill(y, -args.left, full);
  for (std::int64_t y = 0; y < s.height; ++y) {
    fill(y, -args.left, args.left);
    fill(y, s.width, args.right);
  }
  for (std::int64_t y = s.height; y < s.height + args.bottom; ++y) fill(y, -args.left, full);
}

/// Rings of images of some 100 rows are 10 us.
std::int64_t rings_per_chunk(const ReorderShape& s) { return larger(1, kChunkElements / 2 / ((s.height + s.width + 8) * s.out_block)); }
std::int64_t halo_chunks(const ReorderShape& s) { return flat_chunks(s.batch * out_blocks(s), rings_per_chunk(s)); }

void run_halo(const HaloArgs& args, std::int64_t chunk, void*) {
  const ReorderShape& s = args.shape;
  const Range rings = piece(s.batch * out_blocks(s), rings_per_chunk(s), chunk);
  with_element(s.element_bytes, [&](auto element) {
    for (std::int64_t r = rings.begin; r < rings.end; ++r) fill_ring<decltype(element)>(args, r / out_blocks(s), r % out_blocks(s));
  });
}

constexpr HaloCode halo_rows_code = {halo_chunks, workspace, run_halo};

}  // namespace

#define KONV_REORDER(name, isa, refuse, cost) extern const ReorderCode name##_code;
#include "kernels/cpu/copy/reorder_kernels.inc"
#undef KONV_REORDER

const ReorderCode reorder_tiles_code = {chunks, workspace, run_reorder};

std::span<const ReorderKernel> reorder_kernels() {
  static const ReorderKernel kernels[] = {
#define KONV_REORDER(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/copy/reorder_kernels.inc"
#undef KONV_REORDER
  };
  return kernels;
}

std::span<const HaloKernel> halo_kernels() {
  static const HaloKernel kernels[] = {
#define KONV_HALO(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/copy/halo_kernels.inc"
#undef KONV_HALO
  };
  return kernels;
}

}  // namespace konv
