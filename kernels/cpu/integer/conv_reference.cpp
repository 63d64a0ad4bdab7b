// Integer convolution by its definition on plain images, any shape, 8 or 16 bits.
#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/element.h"
#include "kernels/cpu/tiling.h"

namespace konv {

extern const IntegerConvCode conv_integer_reference_code;

namespace {

PlaneTiles tiles(const ConvShape& s) { return tile_planes(s.batch * s.out_channels, s.out_h(), s.out_w() * s.k(), kChunkMacs / 8); }

std::int64_t chunks(const IntegerConvShape& s) { return tiles(s.conv).count(); }
std::size_t workspace(const IntegerConvShape&) { return 0; }

std::int64_t sum_of(const IntegerConvArgs& args, const std::int16_t* weight, std::int32_t zero, std::int64_t n, std::int64_t o,
                    std::int64_t y, std::int64_t x) {
  const ConvShape& s = args.shape.conv;
  const TensorView& in = args.in;
  const std::int64_t first = o / s.group_out() * s.group_in();
  std::int64_t sum = 0;
  for (std::int64_t c = 0; c < s.group_in(); ++c) {
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      for (std::int64_t kx = 0; kx < s.kernel_w; ++kx, ++weight) {
        const std::int64_t iy = y * s.stride_h + ky * s.dilation_h - s.pad_top, ix = x * s.stride_w + kx * s.dilation_w - s.pad_left;
        if (iy < 0 || iy >= s.in_h || ix < 0 || ix >= s.in_w) continue;
        const std::int64_t at = n * in.strides[0] + (first + c) * in.strides[1] + iy * in.strides[2] + ix * in.strides[3];
        sum += std::int64_t{*weight} * (integer_at(in, at) - zero);
      }
    }
  }
  return sum;
}

/// Behind the channels' entries: the input's zero point, then the weights as they are.
struct Packed {
  std::int32_t zero;
  const std::int16_t* weight;
};

Packed packed_of(const PackedChannels& channels) {
  std::int32_t zero;
  std::memcpy(&zero, channels.weight, sizeof zero);
  return {zero, reinterpret_cast<const std::int16_t*>(static_cast<const char*>(channels.weight) + 64)};
}

void run(const IntegerConvArgs& args, std::int64_t chunk, void*) {
  const ConvShape& s = args.shape.conv;
  const PackedChannels channels = packed_channels(args.weight, s.out_channels);
  const Packed packed = packed_of(channels);
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.out_channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out_h(), t.rows_per_chunk, chunk % t.row_chunks);
  const auto at = [](const TensorView& v, std::int64_t n, std::int64_t o, std::int64_t y, std::int64_t x) {
    return n * v.strides[0] + o * v.strides[1] + y * v.strides[2] + x * v.strides[3];
  };
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    const std::int64_t n = p / s.out_channels, o = p % s.out_channels;
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      for (std::int64_t x = 0; x < s.out_w(); ++x) {
        const std::int64_t sum = sum_of(args, packed.weight + o * s.k(), packed.zero, n, o, y, x);
        const float v = to_real(args.output, sum, channels.multiplier[o], channels.offset[o], args.residual, at(args.residual, n, o, y, x));
        write_output(args.out, at(args.out, n, o, y, x), args.output, v);
      }
    }
  }
}

std::size_t packed_bytes(const IntegerConvShape& s) {
  return packed_channel_bytes(s.conv.out_channels) + 64 + 2 * static_cast<std::size_t>(s.conv.weight_count());
}

void pack(const IntegerConvShape& s, const IntegerWeights& w, void* packed) {
  pack_channels(s.conv, w, packed);
  char* to = static_cast<char*>(packed_channels(packed, s.conv.out_channels).weight);
  std::memcpy(to, &w.in_zero, sizeof w.in_zero);
  std::memcpy(to + 64, w.weight, 2 * static_cast<std::size_t>(s.conv.weight_count()));
}

}  // namespace

const IntegerConvCode conv_integer_reference_code = {{chunks, workspace, run}, 1, 1, nullptr, packed_bytes, pack};

}  // namespace konv
