#include "kernels/cpu/conv/cost.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/kernel.h"
#include "kernels/cpu/tile_cost.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

double in_bytes(const ConvShape& s) { return 4.0 * static_cast<double>(s.batch * s.in_channels * s.in_h * s.in_w); }
double out_bytes(const ConvShape& s) { return 4.0 * static_cast<double>(s.batch * s.out_channels * s.out_pixels()); }
double weight_bytes(const ConvShape& s) { return 4.0 * static_cast<double>(s.weight_count()); }
double flops(const ConvShape& s) { return 2.0 * static_cast<double>(s.macs()); }

/// Share of the lanes that a row of `n` fills.
double filled(std::int64_t n, const Machine& m) { return static_cast<double>(n) / static_cast<double>(round_up(n, lanes(m.isa))); }

double gemm_seconds(const ConvShape& s, const Machine& m) {
  // Thin matrices waste lanes and panels; the columns of several images are gathered into one product.
  const double efficiency = 0.75 * loop_share(static_cast<double>(s.group_out()), 6) * loop_share(static_cast<double>(s.k()), 12) *
                            loop_share(static_cast<double>(s.batch * s.out_pixels()), 24);
  return flops(s) / (m.flops * efficiency) + weight_seconds(weight_bytes(s), m);
}

/// Columns of `k` rows are written and read once, a tile at a time, in L2; with a stride they are gathered element by element. Each row of an image begins
/// anew for each row of the columns.
double gather_seconds(const ConvShape& s, std::int64_t k, const Machine& m) {
  const double columns = 4.0 * static_cast<double>(s.batch * k * s.out_pixels()), rows = static_cast<double>(s.batch * k * s.out_h());
  return columns * (s.stride_w == 1 ? 2.0 : 6.0) / m.l2_bandwidth + rows * 15e-9;
}

}  // namespace

double cost_pointwise(const ConvShape& s, const Machine& m) {
  return gemm_seconds(s, m) + stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) + kCallSeconds;
}

double cost_im2col(const ConvShape& s, const Machine& m) {
  return gemm_seconds(s, m) + gather_seconds(s, s.groups * s.k(), m) + stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) +
         kCallSeconds;
}

/// Where OpenBLAS runs its Haswell code, and because products wait for one another (see gemm/openblas.h), it is twice as slow.
double cost_im2col_openblas(const ConvShape& s, const Machine& m) { return 2 * cost_im2col(s, m); }

double cost_depthwise(const ConvShape& s, const Machine& m) {
  // One load per multiply-add, and every input row is copied into a padded buffer. Rows begin and end slowly, most of all those shorter than a vector.
  const double efficiency = 0.35 * filled(s.out_w(), m);
  const double rows = static_cast<double>(s.batch * s.out_channels * s.out_h()) * (s.out_w() < lanes(m.isa) ? 90e-9 : 45e-9);
  return flops(s) / (m.flops * efficiency) + rows + 2 * in_bytes(s) / m.l2_bandwidth + stream_seconds(in_bytes(s), m) +
         stream_seconds(out_bytes(s), m) + kCallSeconds;
}

double cost_direct(const ConvShape& s, const Machine& m) {
  // Loads are shared by up to six output channels; small kernels begin a row of taps too often.
  const double channels = std::min(1.0, static_cast<double>(s.group_out()) / 4);
  const double efficiency =
      std::max(0.5, 0.8 * loop_share(static_cast<double>(s.kernel_h * s.kernel_w), 9)) * filled(s.out_w(), m) * channels;
  return flops(s) / (m.flops * efficiency) + 3 * in_bytes(s) / m.l2_bandwidth + stream_seconds(in_bytes(s), m) +
         stream_seconds(out_bytes(s), m) + kCallSeconds;
}

double cost_depthwise_blocked(const ConvShape& s, const Machine& m) {
  const double efficiency = 0.45 * filled(s.out_channels, m) * loop_share(static_cast<double>(s.kernel_h * s.kernel_w), 2);
  return flops(s) / (m.flops * efficiency) + stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) + kCallSeconds;
}

double cost_blocked(const ConvShape& s, const Machine& m) {
  // Lanes of the last output block may be empty; short rows keep fewer sums in flight; weights of a pair of blocks that outgrow L1 come from L2 again and
  // again. A core that hides what is not a multiply-add hides all of that.
  const double weights = static_cast<double>(s.k() * 2 * lanes(m.isa) * 4) > 24576 ? 0.74 : 0.8;
  const double efficiency = multiply_share(weights * loop_share(static_cast<double>(s.out_w()), 1), m) * filled(s.group_out(), m) *
                            loop_share(static_cast<double>(s.k()), 12);
  return flops(s) / (m.flops * efficiency) + weight_seconds(weight_bytes(s), m) + stream_seconds(in_bytes(s), m) +
         stream_seconds(out_bytes(s), m) + kCallSeconds;
}

namespace {

/// The multiply-adds alone; `rate`: operations per second, 2 per multiply-add. The second half of a pair of output blocks saves less.
double igemm_products(const ConvShape& s, const Machine& m, double rate) {
  const auto pixels = static_cast<double>(s.batch * s.out_pixels()), out = static_cast<double>(round_up(s.group_out(), lanes(m.isa)));
  const double efficiency = multiply_share(0.88, m) * filled(s.group_out(), m) * loop_share(static_cast<double>(s.k()), 16) *
                            loop_share(out, 8) * loop_share(pixels, 2);
  return flops(s) / (rate * efficiency);
}

/// How often weights pass: once for every 192 pixels.
double igemm_passes(const ConvShape& s) { return std::ceil(static_cast<double>(s.batch * s.out_pixels()) / 192); }

/// `weights`: bytes as they are stored.
double igemm_seconds(const ConvShape& s, const Machine& m, double weights, double rate) {
  // Sums wait in L2 between panels of the weights.
  const double products = igemm_products(s, m, rate), passes = weights * (igemm_passes(s) - 1) / m.l2_bandwidth;
  const double multiply = m.weights_stay() ? products + weight_seconds(weights, m) : with_far_weights(products, 0.25, weights, m);
  return multiply + passes + stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) + kCallSeconds;
}

}  // namespace

double cost_igemm(const ConvShape& s, const Machine& m) { return igemm_seconds(s, m, weight_bytes(s), m.flops); }

double cost_igemm_wbf16(const ConvShape& s, const Machine& m) {
  // Widening a panel hides behind nothing.
  const double weights = weight_bytes(s), widening = weights * igemm_passes(s) / (0.2 * m.l1_bandwidth);
  if (!m.weights_stay()) return igemm_seconds(s, m, weights / 2, m.flops) + widening;
  // What multiplying hides of the way from a cache need not be halved.
  const double products = igemm_products(s, m, m.flops), near = weight_seconds(weights, m);
  return cost_igemm(s, m) - (std::max(products, near) - std::max(products, near / 2)) + widening;
}

double cost_igemm_bf16(const ConvShape& s, const Machine& m) {
  // For every strip of four output blocks the pixels are read from L2 and rounded.
  const auto strips = static_cast<double>(ceil_div(s.group_out(), 4 * lanes(m.isa)));
  const double rounded = 4.0 * static_cast<double>(s.batch * s.out_pixels() * s.k() * s.groups) * strips;
  return igemm_seconds(s, m, weight_bytes(s) / 2, m.bfloat16_vector_flops()) + 1.5 * rounded / m.l2_bandwidth;
}

double cost_igemm_bf16_tiles(const ConvShape& s, const Machine& m) {
  // Two entries, a block at one tap each, are a step; inputs are rounded where they are gathered.
  const std::int64_t steps = ceil_div(ceil_div(s.in_channels, 16) * s.kernel_h * s.kernel_w, 2), pixels = s.batch * s.out_pixels();
  return tile_seconds(pixels, round_up(s.out_channels, 16), steps, m) + gather_seconds(pixels, steps, m) +
         weight_seconds(weight_bytes(s) / 2, m) + stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) + kCallSeconds;
}

double cost_igemm_bf16x6(const ConvShape& s, const Machine& m) {
  // Tile registers do 16 pixels by 16 outputs by 64 bytes of inputs in 16 cycles, and reach somewhat more than half of that on a core of one's own. Where the
  // core's other hardware thread is busy, which a virtual machine can't know, they lose twice as much as vectors do, and that is what is counted: a quarter.
  // Few rows of a tile take as long as ten. Six products for two blocks of inputs, three for a block alone.
  const auto pixels = static_cast<double>(s.batch * s.out_pixels()), out = static_cast<double>(round_up(s.out_channels, 16));
  const std::int64_t entries = ceil_div(s.in_channels, 16) * s.kernel_h * s.kernel_w;
  const double tiles = std::ceil(pixels / 16), rows = std::max(10 * tiles, pixels);
  const double products = rows * out * (12 * static_cast<double>(entries) / 0.28 + 40) / m.flops;
  // Most of the time that near weights take from L3 hides behind products. Others hide behind half of them, and pass again for each kFarGathered of pixels.
  const double weights = 6 * out * static_cast<double>(round_up(entries, 2) * 16);
  const double first = weights / (m.weights_stay() ? m.l3_bandwidth : m.dram_bandwidth);
  const double passes = std::ceil(tiles / std::clamp(std::floor(kFarGathered / (1536.0 * static_cast<double>(entries))), 1.0, 16.0));
  const double multiply = weights <= kNearWeights ? products + 0.3 * first
                                                  : std::max(products, 0.5 * products + first + (passes - 1) * weights / m.l3_bandwidth);
  const double gather = 750 * pixels * static_cast<double>(entries) / m.flops;  // 16 inputs are taken apart and written in 11 cycles
  // Tile registers take 1 to 2 microseconds to wake, and for some more afterwards the core runs slower; weights and inputs in parts drive more from the caches
  // than they would in float32.
  constexpr double woken = 6e-6;
  return 1.1 * (multiply + gather) + woken + stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) + kCallSeconds;
}

namespace {

/// F(Tile x Tile, 3x3) of a layer: its tiles, channels in whole blocks, and what does not depend on how its weights come.
template <int Tile>
struct WinogradSize {
  static constexpr double kPoints = (Tile + 2) * (Tile + 2);
  double in, out, tiles;

  WinogradSize(const ConvShape& s, const Machine& m)
      : in(static_cast<double>(round_up(s.in_channels, lanes(m.isa)))),
        out(static_cast<double>(round_up(s.out_channels, lanes(m.isa)))),
        tiles(static_cast<double>(s.batch * ceil_div(s.out_h(), Tile) * ceil_div(s.out_w(), Tile))) {}

  /// So many operations per pair of channels, as multiply-adds.
  double products(double operations, const Machine& m) const { return 2 * operations * in * out / (multiply_share(0.7, m) * m.flops); }

  /// Additions, which run at half the rate of multiply-adds; transformed images go through L2 between the three stages.
  double transforms(const Machine& m) const {
    constexpr double in_additions = Tile == 2 ? 32 : Tile == 4 ? 156 : 384, out_additions = Tile == 2 ? 24 : Tile == 4 ? 116 : 290;
    return 2 * tiles * (in_additions * in + out_additions * out) / m.flops + 4 * tiles * kPoints * 2 * (in + out) / m.l2_bandwidth;
  }
};

}  // namespace

template <int Tile>
double cost_winograd(const ConvShape& s, const Machine& m) {
  const WinogradSize<Tile> w(s, m);
  const double products = w.products(w.tiles * w.kPoints, m);
  // Transformed weights stream by once for every 28 tiles, first from where they lie while other layers run: multiplying hides a quarter of the time they
  // take from L3, and half of it that from DRAM.
  const double weights = 4 * w.kPoints * w.in * w.out, passes = std::ceil(w.tiles / 28);
  const bool near = weights <= 0.5 * static_cast<double>(m.l3_bytes);
  const double again = 0.75 * (near ? (1 - m.hidden) * weights / m.l3_bandwidth : weights / m.dram_bandwidth);
  const double multiply = m.weights_stay() ? products + passes * again : with_far_weights(products, 0.5, weights, m) + (passes - 1) * again;
  return multiply + w.transforms(m) + stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) + kCallSeconds;
}

template double cost_winograd<2>(const ConvShape&, const Machine&);
template double cost_winograd<4>(const ConvShape&, const Machine&);
template double cost_winograd<6>(const ConvShape&, const Machine&);

double cost_winograd4_w9(const ConvShape& s, const Machine& m) {
  const WinogradSize<4> w(s, m);
  // For each few tiles weights are transformed again, in what 54 multiply-adds take; all points are read from memory, which costs 12 more unless a core hides it.
  const double transformed = 54 * std::ceil(w.tiles / (m.isa >= Isa::avx512 ? 4 : 2));
  const double products = w.products(w.tiles * (w.kPoints + 12 * (1 - m.hidden)) + transformed, m);
  const double weights = 4 * 9 * w.in * w.out, near = 0.75 * (1 - m.hidden) * weights / m.l3_bandwidth;
  const double multiply = m.weights_stay() ? products + near : with_far_weights(products, 0.25, weights, m);
  return multiply + w.transforms(m) + stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) + kCallSeconds;
}

double cost_fft16(const ConvShape& s, const Machine& m) {
  // Per 16x16 tile: 144 complex multiply-adds per pair of channels, and 25 transforms of 16 points, some 130 additions each, on either side.
  const int block = lanes(m.isa);
  const auto in = static_cast<double>(round_up(s.in_channels, block)), out = static_cast<double>(round_up(s.out_channels, block));
  const auto tiles = static_cast<double>(s.batch * ceil_div(s.out_h(), 17 - s.kernel_h) * ceil_div(s.out_w(), 17 - s.kernel_w));
  const double products = 4 * 144 * in * out / 0.7, transforms = 3300 * (in + out) / 0.5;
  return 2 * tiles * products / m.flops + tiles * transforms / m.flops + weight_seconds(4 * 2 * 144 * in * out, m) +
         stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) + kCallSeconds;
}

double cost_kept(const ConvShape& s, const Machine& m) {
  const double share = static_cast<double>(s.kept_rows) / static_cast<double>(s.k());
  const double efficiency =
      0.78 * filled(s.out_channels, m) * loop_share(static_cast<double>(s.out_w()), 1) * loop_share(static_cast<double>(s.kept_rows), 12);
  return share * (flops(s) / (m.flops * efficiency) + weight_seconds(weight_bytes(s), m)) + stream_seconds(in_bytes(s), m) +
         stream_seconds(out_bytes(s), m) + kCallSeconds;
}

double cost_im2col_kept(const ConvShape& s, const Machine& m) {
  const double efficiency = 0.75 * loop_share(static_cast<double>(s.out_channels), 6) * loop_share(static_cast<double>(s.kept_rows), 12) *
                            loop_share(static_cast<double>(s.batch * s.out_pixels()), 24);
  const double share = static_cast<double>(s.kept_rows) / static_cast<double>(s.k());
  return share * (flops(s) / (m.flops * efficiency) + weight_seconds(weight_bytes(s), m)) + gather_seconds(s, s.kept_rows, m) +
         stream_seconds(in_bytes(s), m) + stream_seconds(out_bytes(s), m) + kCallSeconds;
}

double cost_sparse(const ConvShape& s, const Machine& m) {
  // A multiply-add loads its pixels from L2. Gathering a tile and writing its outputs touch another page for every channel: some four and eight times what
  // reading in order takes, as measured.
  const auto multiply_adds = static_cast<double>(s.nonzeros * s.batch * s.out_pixels());
  return 2 * multiply_adds / (0.35 * m.flops * filled(s.out_pixels(), m)) + (4 * in_bytes(s) + 8 * out_bytes(s)) / m.l3_bandwidth +
         weight_seconds(8.0 * static_cast<double>(s.nonzeros), m) + kCallSeconds;
}

double cost_last_resort(const ConvShape& s, const Machine&) { return kNaiveSeconds * static_cast<double>(s.macs()) + kCallSeconds; }

}  // namespace konv
