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

/// Whether an output is the largest input as it is stored.
bool keeps_bytes(const IntegerPoolArgs& args) {
  const IntegerPoolShape& s = args.shape;
  const Requantize& q = args.output;
  const auto zero = static_cast<float>(q.zero);
  return !s.pool.average && s.out == DType::uint8 && s.out_block == kIntegerBlock && args.multiplier == 1 && args.in_zero == q.zero &&
         q.low == -zero && q.high == 255 - zero && q.activation.kind == ActivationKind::none;
}

/// The largest of every lane, without a look at scales.
void maxima(const PoolShape& s, const TensorView& in, const std::uint8_t* from, Range ky, Range kx, std::int32_t zero, std::uint8_t* to) {
  const bool any = ky.size() > 0 && kx.size() > 0;
  Block acc = any ? Block{} : Block{} + static_cast<std::uint8_t>(zero);
  for (std::int64_t y = ky.begin; y < ky.end; ++y) {
    const std::uint8_t* row = from + y * s.dilation_h * in.strides[2];
    for (std::int64_t x = kx.begin; x < kx.end; ++x) {
      Block value;
      std::memcpy(&value, row + x * s.dilation_w * kIntegerBlock, sizeof value);
      acc = acc < value ? value : acc;
    }
  }
  std::memcpy(to, &acc, sizeof acc);
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

void row(const IntegerPoolArgs& args, std::int64_t n, std::int64_t block, std::int64_t y) {
  const PoolShape& s = args.shape.pool;
  const TensorView& in = args.in;
  const std::int64_t top = y * s.stride_h - s.pad_top;
  const Range ky = inside(top, s.kernel_h, s.dilation_h, s.in_h);
  const std::uint8_t* from = static_cast<const std::uint8_t*>(in.data) + n * in.strides[0] + block * in.strides[1] + top * in.strides[2];
  const Target target{args.output, args.shape.out == DType::float32};
  const std::int64_t rows = s.average ? divisor_rows(s, y) : 0;
  const bool bytes = keeps_bytes(args);
  const TensorView& out = args.out;
  std::uint8_t* to = static_cast<std::uint8_t*>(out.data) + n * out.strides[0] + block * out.strides[1] + y * out.strides[2];
  for (std::int64_t x = 0; x < s.out_w; ++x) {
    const std::int64_t left = x * s.stride_w - s.pad_left;
    const Range kx = inside(left, s.kernel_w, s.dilation_w, s.in_w);
    if (bytes) {
      maxima(s, in, from + left * kIntegerBlock, ky, kx, args.in_zero, to + x * kIntegerBlock);
      continue;
    }
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
std::size_t workspace(const IntegerPoolShape&) { return 0; }

void run(const IntegerPoolArgs& args, std::int64_t chunk, void*) {
  const PoolShape& s = args.shape.pool;
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * blocks(s), t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h, t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    for (std::int64_t y = rows.begin; y < rows.end; ++y) row(args, p / blocks(s), p % blocks(s), y);
  }
}

}  // namespace
}  // namespace KONV_ISA

const IntegerPoolCode KONV_ISA_CODE(pool_blocked_u8) = {KONV_ISA::chunks, KONV_ISA::workspace, KONV_ISA::run};

}  // namespace konv
