#include "kernels/cpu/pool/pool.h"

#include "tests/kernels/harness.h"
#include "tests/kernels/laid_out.h"

namespace konv::test {
namespace {

PoolShape random_pool_shape(Rng& rng) {
  PoolShape s;
  s.average = rng.chance(0.5);
  s.count_include_pad = rng.chance(0.5);
  s.batch = rng.integer(1, 3), s.channels = rng.integer(1, 20);
  s.in_h = rng.integer(1, 20), s.in_w = rng.chance(0.5) ? rng.integer(1, 70) : rng.integer(1, 12);
  s.kernel_h = rng.integer(1, 5), s.kernel_w = rng.chance(0.7) ? s.kernel_h : rng.integer(1, 5);
  s.stride_h = rng.integer(1, 3), s.stride_w = rng.chance(0.7) ? s.stride_h : rng.integer(1, 4);
  if (rng.chance(0.2)) s.dilation_h = rng.integer(1, 3), s.dilation_w = rng.integer(1, 3);
  if (rng.chance(0.6)) {
    s.pad_top = rng.integer(0, s.kernel_h - 1), s.pad_bottom = rng.integer(0, s.kernel_h - 1);
    s.pad_left = rng.integer(0, s.kernel_w - 1), s.pad_right = rng.integer(0, s.kernel_w - 1);
  }
  const bool ceil = rng.chance(0.3);  // ceil_mode: the last window may reach beyond the padding
  const auto outputs = [&](std::int64_t in, std::int64_t kernel, std::int64_t dilation, std::int64_t stride) {
    const std::int64_t room = in - (dilation * (kernel - 1) + 1);
    return room < 0 ? 0 : (room + (ceil ? stride - 1 : 0)) / stride + 1;
  };
  s.out_h = outputs(s.in_h + s.pad_top + s.pad_bottom, s.kernel_h, s.dilation_h, s.stride_h);
  s.out_w = outputs(s.in_w + s.pad_left + s.pad_right, s.kernel_w, s.dilation_w, s.stride_w);
  return s;
}

double oracle(const PoolShape& s, const std::vector<float>& in, std::int64_t plane, std::int64_t oy, std::int64_t ox) {
  double best = -INFINITY, sum = 0;
  int inside = 0, with_pad = 0;
  for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
    for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
      const std::int64_t y = oy * s.stride_h + ky * s.dilation_h - s.pad_top, x = ox * s.stride_w + kx * s.dilation_w - s.pad_left;
      with_pad += y < s.in_h + s.pad_bottom && x < s.in_w + s.pad_right;
      if (y < 0 || x < 0 || y >= s.in_h || x >= s.in_w) continue;
      ++inside;
      const double value = in[static_cast<std::size_t>((plane * s.in_h + y) * s.in_w + x)];
      best = std::max(best, value);
      sum += value;
    }
  }
  const int divisor = s.count_include_pad ? with_pad : inside;
  return s.average ? (divisor ? sum / divisor : 0) : best;
}

TEST_CASE("every pooling kernel agrees with the oracle") {
  for_each_kernel(pool_kernels(), [](const PoolKernel& kernel) {
    int ran = 0;
    for (int seed = 0; seed < 400; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      PoolShape s = random_pool_shape(rng);
      if (s.out_h == 0 || s.out_w == 0) continue;
      if (!takes(kernel, s)) s.block = lanes(kernel.isa);
      if (!takes(kernel, s)) continue;
      ++ran;
      const std::vector<float> data = rng.reals(s.batch * s.channels * s.in_h * s.in_w);
      std::vector<double> expected;
      for (std::int64_t p = 0; p < s.batch * s.channels; ++p) {
        for (std::int64_t y = 0; y < s.out_h; ++y) {
          for (std::int64_t x = 0; x < s.out_w; ++x) expected.push_back(oracle(s, data, p, y, x));
        }
      }
      const auto check = [&](auto& in, auto& out) {
        in.assign(data);
        const PoolArgs args{s, in.view(), out.view()};
        CHECK(run_chunks(*kernel.code, args));
        const std::vector<float> result = out.values();
        CHECK(count_off(result, expected, std::vector<double>(expected.size(), s.average ? 2e-6 : 0)) == 0);
        CHECK(run_chunks(*kernel.code, args, Order::backward));
        CHECK(same_bits(result, out.values()));
        CHECK(out.surroundings_hold());
      };
      const std::vector<std::int64_t> in_dims = {s.batch, s.channels, s.in_h, s.in_w}, out_dims = {s.batch, s.channels, s.out_h, s.out_w};
      const int gap = seed % 2 ? 4 : 0;
      if (s.block == 1) {
        Embedded<float> in(in_dims, DType::float32, rng, gap), out(out_dims, DType::float32, rng, gap);
        check(in, out);
      } else {
        LaidOut in(in_dims, s.block, {gap, 0, 1, gap}, -3.0f), out(out_dims, s.block, {0, gap, 1, 0}, 77.0f);
        check(in, out);
      }
    }
    CHECK_MESSAGE(ran >= 20, "the shapes hardly reach this kernel");
  });
}

}  // namespace
}  // namespace konv::test
