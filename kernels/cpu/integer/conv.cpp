#include "kernels/cpu/integer/conv.h"

#include "kernels/cpu/integer/rate.h"
#include "kernels/cpu/tile_cost.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

/// Kernels count distances inside an image, its halo included, in pairs or quads of channels.
bool is_too_large(const ConvShape& s) { return (s.in_channels + 16) * (s.in_h + 128) * (s.in_w + 128) / 2 > INT32_MAX; }

const char* refuse_types(const IntegerConvShape& s) {
  if (s.in != DType::uint8) return "inputs are not of 8 bits";
  if (s.out != DType::uint8 && s.out != DType::float32) return "outputs are neither of 8 bits nor float32";
  if (s.weight_bits > 8) return "weights have more than 8 bits";
  // 255 (the largest input) times the largest weight, k times, and as much again for the zero point.
  if ((s.conv.k() << (s.weight_bits - 1)) * 255 * 2 > INT32_MAX) return "sums could pass 32 bits";
  if (is_too_large(s.conv)) return "too large for 32-bit offsets";
  return s.conv.stride_w > 2 ? "stride along a row is more than 2" : nullptr;
}

const char* refuse_blocked_u8(const IntegerConvShape& s) {
  if (const char* reason = refuse_types(s)) return reason;
  if (s.conv.groups > 1 && (s.conv.group_in() % kIntegerBlock || s.conv.group_out() % kIntegerBlock))
    return "channels of a group are no whole blocks";
  return nullptr;
}

const char* refuse_igemm_u8(const IntegerConvShape& s) {
  if (const char* reason = refuse_blocked_u8(s)) return reason;
  return s.conv.group_out() < 2 * kIntegerBlock ? "fewer than 32 output channels" : nullptr;
}

const char* refuse_igemm_amx_u8(const IntegerConvShape& s) {
  if (const char* reason = refuse_types(s)) return reason;
  return s.conv.groups > 1 ? "grouped" : nullptr;
}

/// Tiles read taps side by side.
const char* refuse_rows_amx_u8(const IntegerConvShape& s) {
  if (const char* reason = refuse_igemm_amx_u8(s)) return reason;
  return s.conv.dilation_w > 1 && s.conv.kernel_w > 1 ? "dilated along the row" : nullptr;
}

const char* refuse_kept_u8(const IntegerConvShape& s) {
  if (const char* reason = refuse_types(s)) return reason;
  if (s.conv.groups > 1) return "grouped";
  return s.kept_quads < 0 ? "no row is known to be pruned" : nullptr;
}

const char* refuse_first_u8(const IntegerConvShape& s) {
  if (const char* reason = refuse_types(s)) return reason;
  if (s.conv.groups > 1) return "grouped";
  return s.conv.in_channels > kFirstBlock ? "more than 4 input channels" : nullptr;
}

const char* refuse_first_amx_u8(const IntegerConvShape& s) {
  if (const char* reason = refuse_first_u8(s)) return reason;
  return refuse_rows_amx_u8(s);
}

const char* refuse_depthwise_u8(const IntegerConvShape& s) {
  if (const char* reason = refuse_types(s)) return reason;
  if (s.conv.groups != s.conv.in_channels || s.conv.groups == 1) return "groups differ from input channels";
  return s.conv.out_channels != s.conv.in_channels ? "several outputs per channel" : nullptr;
}

const char* refuse_blocked_s16(const IntegerConvShape& s) {
  if (s.in != DType::int16) return "inputs are not of 16 bits";
  if (s.conv.groups > 1 && (s.conv.group_in() % kIntegerBlock || s.conv.group_out() % kIntegerBlock))
    return "channels of a group are no whole blocks";
  return is_too_large(s.conv) ? "too large for 32-bit offsets" : nullptr;
}

const char* refuse_first_s16(const IntegerConvShape& s) {
  if (const char* reason = refuse_blocked_s16(s)) return reason;
  if (s.conv.groups > 1) return "grouped";
  return s.conv.in_channels > kFirstBlock ? "more than 4 input channels" : nullptr;
}

const char* refuse_depthwise_s16(const IntegerConvShape& s) {
  if (s.in != DType::int16) return "inputs are not of 16 bits";
  if (s.conv.groups != s.conv.in_channels || s.conv.groups == 1) return "groups differ from input channels";
  if (s.conv.kernel_h * s.conv.kernel_w > kMostTapsS16) return "more than 256 taps";
  return s.conv.out_channels != s.conv.in_channels ? "several outputs per channel" : nullptr;
}

const char* refuse_no_integers(const IntegerConvShape&) { return nullptr; }

double traffic(const IntegerConvShape& s, const Machine& m) {
  const ConvShape& c = s.conv;
  const auto in = static_cast<double>(c.batch * c.in_channels * c.in_h * c.in_w);
  const auto out = static_cast<double>(c.batch * c.out_channels * c.out_pixels()) * (s.out == DType::float32 ? 4 : 1);
  return stream_seconds(in, m) + stream_seconds(out, m) + weight_seconds(static_cast<double>(c.weight_count()), m) + kCallSeconds;
}

/// `inputs`: input channels times taps that are read.
double direct_seconds(const ConvShape& s, double inputs, const Machine& m) {
  const auto outputs = static_cast<double>(round_up(s.group_out(), kIntegerBlock));
  const auto pixels = static_cast<double>(s.batch * s.groups * s.out_pixels());
  // An output takes about ten vector operations to become a byte again.
  return pixels * outputs * (2 * inputs / (0.8 * integer_rate(m)) + 10 / m.flops) / loop_share(static_cast<double>(s.out_w()), 1);
}

double rows_read(const ConvShape& s, int in_block) {
  return static_cast<double>(round_up(s.group_in(), in_block) * s.kernel_h * s.kernel_w);
}

double cost_blocked_u8(const IntegerConvShape& s, const Machine& m) {
  return direct_seconds(s.conv, rows_read(s.conv, kIntegerBlock), m) + traffic(s, m);
}
double cost_igemm_u8(const IntegerConvShape& shape, const Machine& m) {
  // Sums wait between panels of weights, and each pixel's outputs go to four blocks; several taps read the same pixels, which row tiles have in L1 anyway.
  const ConvShape& s = shape.conv;
  const auto outputs = static_cast<double>(round_up(s.group_out(), kIntegerBlock)), pixels = static_cast<double>(s.batch * s.out_pixels());
  const double efficiency = (s.kernel_h * s.kernel_w == 1 ? 0.88 : 0.74) * loop_share(pixels, 2);
  return pixels * static_cast<double>(s.groups) * outputs *
             (2 * rows_read(s, kIntegerBlock) / (efficiency * integer_rate(m)) + 16 / m.flops) +
         traffic(shape, m);
}
std::int64_t pixel_count(const ConvShape& s) { return s.batch * s.out_pixels(); }

double cost_igemm_amx_u8(const IntegerConvShape& shape, const Machine& m) {
  const ConvShape& s = shape.conv;
  const std::int64_t steps = ceil_div(round_up(s.in_channels, kIntegerBlock) * s.kernel_h * s.kernel_w, 64);
  return tile_seconds(pixel_count(s), round_up(s.out_channels, kIntegerBlock), steps, m) + gather_seconds(pixel_count(s), steps, m) +
         traffic(shape, m);
}

double rows_amx_seconds(const IntegerConvShape& shape, int in_block, const Machine& m) {
  const ConvShape& s = shape.conv;
  const std::int64_t steps = ceil_div(s.in_channels, in_block) * s.kernel_h * ceil_div(s.kernel_w * in_block, 64);
  const double products = tile_seconds(pixel_count(s), round_up(s.out_channels, kIntegerBlock), steps, m);
  return products / loop_share(static_cast<double>(s.out_w()), 1) + traffic(shape, m);
}
double cost_rows_amx_u8(const IntegerConvShape& s, const Machine& m) { return rows_amx_seconds(s, kIntegerBlock, m); }
double cost_first_amx_u8(const IntegerConvShape& s, const Machine& m) { return rows_amx_seconds(s, kFirstBlock, m); }

double cost_first_u8(const IntegerConvShape& s, const Machine& m) {
  return direct_seconds(s.conv, rows_read(s.conv, kFirstBlock), m) + traffic(s, m);
}

double cost_kept_u8(const IntegerConvShape& s, const Machine& m) {
  // Every quad looks up where it lies, and every chunk makes the list.
  const auto kept = static_cast<double>(s.kept_quads);
  return direct_seconds(s.conv, 1.05 * 4 * kept, m) + 1e-9 * kept + traffic(s, m);
}

/// Two products for each, of either part of the weight; without VNNI each is two instructions.
double s16_seconds(const IntegerConvShape& s, int in_block, const Machine& m) {
  const ConvShape& c = s.conv;
  const double rate = m.isa >= Isa::avx512_vnni ? 0.7 * m.flops : 0.35 * m.flops;
  const auto outputs = static_cast<double>(c.batch * c.out_pixels() * round_up(c.out_channels, kIntegerBlock));
  return outputs * (2 * rows_read(c, in_block) / rate + 40 / m.flops) + traffic(s, m);
}

double cost_blocked_s16(const IntegerConvShape& s, const Machine& m) { return s16_seconds(s, kIntegerBlock, m); }
double cost_first_s16(const IntegerConvShape& s, const Machine& m) { return s16_seconds(s, kFirstBlock, m); }

double cost_depthwise_u8(const IntegerConvShape& s, const Machine& m) {
  return 2.0 * static_cast<double>(s.conv.macs()) / (0.4 * m.flops) + traffic(s, m);
}

double cost_depthwise_s16(const IntegerConvShape& s, const Machine& m) {
  const auto outputs = static_cast<double>(s.conv.batch * s.conv.out_channels * s.conv.out_pixels());
  return 4.0 * static_cast<double>(s.conv.macs()) / (0.4 * m.flops) + 40 * outputs / m.flops + traffic(s, m);
}

double cost_integer_reference(const IntegerConvShape& s, const Machine&) {
  return kNaiveSeconds * static_cast<double>(s.conv.macs()) + kCallSeconds;
}

}  // namespace

#define KONV_INTEGER_CONV(name, isa, refuse, cost) extern const IntegerConvCode name##_code;
#include "kernels/cpu/integer/conv_kernels.inc"
#undef KONV_INTEGER_CONV

std::span<const IntegerConvKernel> integer_conv_kernels() {
  static const IntegerConvKernel kernels[] = {
#define KONV_INTEGER_CONV(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/integer/conv_kernels.inc"
#undef KONV_INTEGER_CONV
  };
  return kernels;
}

}  // namespace konv
