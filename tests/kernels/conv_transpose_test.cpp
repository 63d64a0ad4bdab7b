#include "kernels/cpu/conv_transpose/conv_transpose.h"

#include "tests/kernels/harness.h"

namespace konv::test {
namespace {

ConvTransposeShape random_shape(Rng& rng) {
  ConvTransposeShape s;
  s.groups = rng.pick({1, 1, 2, 3});
  s.batch = rng.integer(1, 2);
  s.in_channels = s.groups * rng.integer(1, 6), s.out_channels = s.groups * rng.integer(1, 6);
  s.in_h = rng.integer(1, 9), s.in_w = rng.integer(1, 40);
  s.kernel_h = rng.integer(1, 4), s.kernel_w = rng.integer(1, 5);
  s.stride_h = rng.integer(1, 3), s.stride_w = rng.integer(1, 3);
  if (rng.chance(0.3)) s.dilation_h = rng.integer(1, 2), s.dilation_w = rng.integer(1, 3);
  const std::int64_t reach_h = s.dilation_h * (s.kernel_h - 1), reach_w = s.dilation_w * (s.kernel_w - 1);
  s.pad_top = rng.integer(0, reach_h), s.pad_left = rng.integer(0, reach_w);
  // Anything from cut off at the end to output padding.
  s.out_h = std::max<std::int64_t>(1, (s.in_h - 1) * s.stride_h + reach_h + 1 - s.pad_top - rng.integer(-s.stride_h, reach_h));
  s.out_w = std::max<std::int64_t>(1, (s.in_w - 1) * s.stride_w + reach_w + 1 - s.pad_left - rng.integer(-s.stride_w, reach_w));
  return s;
}

/// Scatters, as the definition does: every input adds its kernel to the outputs.
std::vector<double> oracle(const ConvTransposeShape& s, const std::vector<float>& in, const std::vector<float>& weight) {
  std::vector<double> out(static_cast<std::size_t>(s.batch * s.out_channels * s.out_h * s.out_w));
  const std::int64_t group_in = s.in_channels / s.groups, group_out = s.out_channels / s.groups;
  std::size_t at = 0;
  for (std::int64_t n = 0; n < s.batch; ++n) {
    for (std::int64_t c = 0; c < s.in_channels; ++c) {
      for (std::int64_t y = 0; y < s.in_h; ++y) {
        for (std::int64_t x = 0; x < s.in_w; ++x, ++at) {
          for (std::int64_t o = 0; o < group_out; ++o) {
            for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
              for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
                const std::int64_t oy = y * s.stride_h + ky * s.dilation_h - s.pad_top,
                                   ox = x * s.stride_w + kx * s.dilation_w - s.pad_left;
                if (oy < 0 || ox < 0 || oy >= s.out_h || ox >= s.out_w) continue;
                const std::int64_t channel = c / group_in * group_out + o;
                out[static_cast<std::size_t>(((n * s.out_channels + channel) * s.out_h + oy) * s.out_w + ox)] +=
                    static_cast<double>(in[at]) *
                    weight[static_cast<std::size_t>(((c * group_out + o) * s.kernel_h + ky) * s.kernel_w + kx)];
              }
            }
          }
        }
      }
    }
  }
  return out;
}

TEST_CASE("every transposed convolution agrees with the oracle") {
  for_each_kernel(conv_transpose_kernels(), [](const ConvTransposeKernel& kernel) {
    for (int seed = 0; seed < 300; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      const ConvTransposeShape s = random_shape(rng);
      if (!takes(kernel, s)) continue;
      Embedded<float> in({s.batch, s.in_channels, s.in_h, s.in_w}, DType::float32, rng, seed % 2 * 3);
      Embedded<float> out({s.batch, s.out_channels, s.out_h, s.out_w}, DType::float32, rng, seed % 3);
      const std::vector<float> data = rng.reals(in.count()), bias = rng.reals(s.out_channels);
      const std::vector<float> weight = rng.reals(s.in_channels * (s.out_channels / s.groups) * s.kernel_h * s.kernel_w);
      in.assign(data);
      const bool relu = rng.chance(0.5), with_bias = rng.chance(0.5);
      std::vector<double> expected = oracle(s, data, weight);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        if (with_bias) expected[i] += bias[i / static_cast<std::size_t>(s.out_h * s.out_w) % static_cast<std::size_t>(s.out_channels)];
        if (relu) expected[i] = std::max(expected[i], 0.0);
      }
      const double terms = static_cast<double>(s.in_channels / s.groups * s.kernel_h * s.kernel_w + 1);
      const ConvTransposeArgs args{s,
                                   in.view(),
                                   out.view(),
                                   weight.data(),
                                   with_bias ? bias.data() : nullptr,
                                   {relu ? ActivationKind::relu : ActivationKind::none, 0, 0}};
      CHECK(run_chunks(*kernel.code, args));
      const std::vector<float> result = out.values();
      CHECK(count_off(result, expected, std::vector<double>(expected.size(), sum_error(static_cast<std::int64_t>(terms), terms))) == 0);
      CHECK(run_chunks(*kernel.code, args, Order::backward));
      CHECK(same_bits(result, out.values()));
      CHECK(out.surroundings_hold());
    }
  });
}

}  // namespace
}  // namespace konv::test
