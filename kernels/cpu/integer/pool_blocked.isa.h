// Pooling of bytes in blocks of 16 channels; a vector is channels of one pixel, windows are clipped to the image.
#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/finish.h"
#include "kernels/cpu/integer/quant.h"
#include "kernels/cpu/pool/divisor.h"

namespace konv {

extern const IntegerPoolCode KONV_ISA_CODE(pool_blocked_u8);

namespace KONV_ISA {
namespace {

std::int64_t blocks(const PoolShape& s) { return ceil_div(s.channels, kIntegerBlock); }

PlaneTiles tiles(const PoolShape& s) {
  return tile_planes(s.batch * blocks(s), s.out_h, s.out_w * (s.kernel_h * s.kernel_w + 2) * kIntegerBlock, kChunkMacs / 2);
}

/// Taps of the window from `start` on that lie in [0, size).
Range inside(std::int64_t start, std::int64_t kernel, std::int64_t dilation, std::int64_t size) {
  if (start >= 0 && start + (kernel - 1) * dilation < size) return {0, kernel};  // most windows: divisions take longer than the taps
  const std::int64_t begin = start < 0 ? ceil_div(-start, dilation) : 0;
  const std::int64_t end = size > start ? ceil_div(size - start, dilation) : 0;
  return {begin, larger(begin, smaller(kernel, end))};
}

/// Sum or maximum of x - zero; an empty window gives 0.
template <bool Average>
Ints window(const PoolShape& s, const TensorView& in, const std::uint8_t* from, Range ky, Range kx, std::int32_t zero) {
  Ints acc = {};
  if (!Average && ky.size() > 0 && kx.size() > 0) acc = acc - zero;
  for (std::int64_t y = ky.begin; y < ky.end; ++y) {
    const std::uint8_t* row = from + y * s.dilation_h * in.strides[2];
    for (std::int64_t x = kx.begin; x < kx.end; ++x) {
      const Ints value = load_bytes(row + x * s.dilation_w * kIntegerBlock) - zero;
      if constexpr (Average) {
        acc += value;
      } else {
        acc = acc < value ? value : acc;
      }
    }
  }
  return acc;
}

typedef std::uint8_t Block __attribute__((vector_size(kIntegerBlock)));

/// Whether an output is the largest input as it is stored, clamped.
bool keeps_bytes(const IntegerPoolArgs& args) {
  const IntegerPoolShape& s = args.shape;
  const Requantize& q = args.output;
  return !s.pool.average && s.out == DType::uint8 && s.out_block == kIntegerBlock && args.multiplier == 1 && args.in_zero == q.zero &&
         q.activation.kind == ActivationKind::none;
}

/// The largest byte of each column of `rows` rows that lie `step` bytes apart.
void largest_down(const std::uint8_t* from, std::int64_t step, std::int64_t rows, std::int64_t bytes, std::uint8_t* to) {
  typedef std::uint8_t Wide __attribute__((vector_size(4 * kLanes)));
  const auto columns = [&](auto acc, std::int64_t at) {
    std::memcpy(&acc, from + at, sizeof acc);
    for (std::int64_t y = 1; y < rows; ++y) {
      auto value = acc;
      std::memcpy(&value, from + y * step + at, sizeof value);
      acc = acc < value ? value : acc;
    }
    std::memcpy(to + at, &acc, sizeof acc);
  };
  std::int64_t at = 0;
  for (; at + std::int64_t{sizeof(Wide)} <= bytes; at += sizeof(Wide)) columns(Wide{}, at);
  for (; at < bytes; at += kIntegerBlock) columns(Block{}, at);
}

/// The largest of `count` pixels that lie `step` bytes apart.
Block largest_along(const std::uint8_t* from, std::int64_t step, std::int64_t count) {
  Block acc;
  std::memcpy(&acc, from, sizeof acc);
  for (std::int64_t x = 1; x < count; ++x) {
    Block value;
    std::memcpy(&value, from + x * step, sizeof value);
    acc = acc < value ? value : acc;
  }
  return acc;
}

/// A row of maxima without a look at scales: first down the columns, which windows share, then along the row. `from`: the image's row at the window's top;
/// `columns`: one row of the image.
void row_of_maxima(const IntegerPoolArgs& args, const std::uint8_t* from, Range ky, std::uint8_t* to, std::uint8_t* columns) {
  const PoolShape& s = args.shape.pool;
  const Block least = Block{} + static_cast<std::uint8_t>(requantize(args.output, args.output.low));
  const Block most = Block{} + static_cast<std::uint8_t>(requantize(args.output, args.output.high));
  const std::int64_t down = s.dilation_h * args.in.strides[2], along = s.dilation_w * kIntegerBlock;
  if (ky.size() > 0) largest_down(from + ky.begin * down, down, ky.size(), s.in_w * kIntegerBlock, columns);
  for (std::int64_t x = 0; x < s.out_w; ++x, to += kIntegerBlock) {
    const std::int64_t left = x * s.stride_w - s.pad_left;
    const Range kx = inside(left, s.kernel_w, s.dilation_w, s.in_w);
    const std::uint8_t* first = columns + left * kIntegerBlock;
    Block acc = Block{} + static_cast<std::uint8_t>(args.in_zero);  // of an empty window
    if (ky.size() > 0 && kx.size() > 0)
      acc = kx.size() == 3 ? largest_along(first + kx.begin * along, along, 3) : largest_along(first + kx.begin * along, along, kx.size());
    acc = acc < least ? least : acc;
    acc = acc < most ? acc : most;
    std::memcpy(to, &acc, sizeof acc);
  }
}

void write(const IntegerPoolArgs& args, const Target& target, Ints sum, Vector multiplier, std::int64_t n, std::int64_t channel,
           std::int64_t y, std::int64_t x) {
  const TensorView& out = args.out;
  std::uint8_t lanes[kLanes * 4];
  finish_sums(target, sum, multiplier, broadcast(0), nullptr, lanes);
  const std::int64_t size = target.size(), block = args.shape.out_block,
                     pixel = n * out.strides[0] + y * out.strides[2] + x * out.strides[3];
  std::uint8_t* to = static_cast<std::uint8_t*>(out.data) + pixel * size;
  if (block == kIntegerBlock) {
    std::memcpy(to + (channel / block * out.strides[1] + channel % block) * size, lanes, static_cast<std::size_t>(kLanes * size));
    return;
  }
  for (std::int64_t l = 0; l < smaller(kLanes, args.shape.pool.channels - channel); ++l)
    std::memcpy(to + (channel + l) * out.strides[1] * size, lanes + l * size, static_cast<std::size_t>(size));
}

void row(const IntegerPoolArgs& args, std::int64_t n, std::int64_t block, std::int64_t y, std::uint8_t* columns) {
  const PoolShape& s = args.shape.pool;
  const TensorView& in = args.in;
  const std::int64_t top = y * s.stride_h - s.pad_top;
  const Range ky = inside(top, s.kernel_h, s.dilation_h, s.in_h);
  const std::uint8_t* from = static_cast<const std::uint8_t*>(in.data) + n * in.strides[0] + block * in.strides[1] + top * in.strides[2];
  if (keeps_bytes(args)) {
    const TensorView& out = args.out;
    std::uint8_t* to = static_cast<std::uint8_t*>(out.data) + n * out.strides[0] + block * out.strides[1] + y * out.strides[2];
    row_of_maxima(args, from, ky, to, columns);
    return;
  }
  const Target target{args.output, args.shape.out == DType::float32};
  const std::int64_t rows = s.average ? divisor_rows(s, y) : 0;
  for (std::int64_t x = 0; x < s.out_w; ++x) {
    const std::int64_t left = x * s.stride_w - s.pad_left;
    const Range kx = inside(left, s.kernel_w, s.dilation_w, s.in_w);
    const float multiplier = s.average ? args.multiplier / static_cast<float>(larger(1, rows * divisor_columns(s, x))) : args.multiplier;
    for (int lane = 0; lane < kIntegerBlock; lane += kLanes) {
      const std::uint8_t* at = from + left * kIntegerBlock + lane;
      const Ints sum = s.average ? window<true>(s, in, at, ky, kx, args.in_zero) : window<false>(s, in, at, ky, kx, args.in_zero);
      if (block * kIntegerBlock + lane < s.channels || args.shape.out_block == kIntegerBlock)
        write(args, target, sum, broadcast(multiplier), n, block * kIntegerBlock + lane, y, x);
    }
  }
}

std::int64_t chunks(const IntegerPoolShape& s) { return tiles(s.pool).count(); }
std::size_t workspace(const IntegerPoolShape& s) { return s.pool.average ? 0 : static_cast<std::size_t>(s.pool.in_w * kIntegerBlock); }

void run(const IntegerPoolArgs& args, std::int64_t chunk, void* workspace) {
  const PoolShape& s = args.shape.pool;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * blocks(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    for (std::int64_t y = rows.begin; y < rows.end; ++y) row(args, p / blocks(s), p % blocks(s), y, static_cast<std::uint8_t*>(workspace));
  }
}

}  // namespace
}  // namespace KONV_ISA

const IntegerPoolCode KONV_ISA_CODE(pool_blocked_u8) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
