// Families that are correct first: every kernel of their lists in several chunks, forwards and backwards, against a few lines of arithmetic.
#include <numeric>

#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/normalize/normalize.h"
#include "kernels/cpu/quant/quant.h"
#include "kernels/cpu/resize/resize.h"
#include "kernels/cpu/topk/topk.h"
#include "kernels/cpu/window/window.h"
#include "tests/kernels/harness.h"

namespace konv::test {
namespace {

using Sizes = std::vector<std::int64_t>;

template <class T>
TensorView view(std::vector<T>& data, DType dtype, const Sizes& dims) {
  TensorView v{data.data(), dtype, static_cast<int>(dims.size()), {}, {}, 1};
  std::int64_t stride = 1;
  for (std::size_t d = dims.size(); d-- > 0; stride *= dims[d]) {
    v.dims[d] = dims[d];
    v.strides[d] = stride;
  }
  return v;
}

/// Runs every kernel that takes the arguments both ways and hands the output of each to `check`.
template <class List, class Args, class T, class Check>
void for_outputs(const List& list, const Args& args, std::vector<T>& out, const Check& check) {
  int ran = 0;
  for_each_kernel(list, [&](const auto& kernel) {
    if (!takes(kernel, args.shape)) return;
    ++ran;
    std::fill(out.begin(), out.end(), T(77));
    CHECK(run_chunks(*kernel.code, args));
    const std::vector<T> forwards = out;
    std::fill(out.begin(), out.end(), T(78));
    CHECK(run_chunks(*kernel.code, args, Order::backward));
    CHECK(same_bits(out, forwards));
    check(forwards);
  });
  if (can_run_tests()) CHECK(ran > 0);
}

TEST_CASE("select takes from either operand") {
  Rng rng(1);
  const std::int64_t n = 70'000;  // three chunks
  std::vector<std::uint8_t> condition(n), bytes_a(n, 1), bytes_b(n, 2), bytes(n);
  std::vector<float> a = rng.reals(n), b = rng.reals(n), out(n);
  for (std::uint8_t& c : condition) c = rng.chance(0.5);
  const auto expect = [&](const auto& x, const auto& y) {
    return [&](const auto& found) {
      std::int64_t off = 0;
      for (std::size_t i = 0; i < found.size(); ++i) off += found[i] != (condition[i] ? x[i] : y[i]);
      CHECK(off == 0);
    };
  };
  const TensorView c = view(condition, DType::boolean, {n});
  for_outputs(select_kernels(),
              SelectArgs{{n, 4}, c, view(a, DType::float32, {n}), view(b, DType::float32, {n}), view(out, DType::float32, {n})}, out,
              expect(a, b));
  for_outputs(select_kernels(),
              SelectArgs{{n, 1}, c, view(bytes_a, DType::uint8, {n}), view(bytes_b, DType::uint8, {n}), view(bytes, DType::uint8, {n})},
              bytes, expect(bytes_a, bytes_b));
}

TEST_CASE("a range is no sum of steps") {
  const std::int64_t n = 100'000;
  std::vector<float> start{0.25f}, delta{0.1f}, out(n);
  for_outputs(
      range_kernels(),
      RangeArgs{{n, DType::float32}, view(start, DType::float32, {}), view(delta, DType::float32, {}), view(out, DType::float32, {n})}, out,
      [&](const std::vector<float>& found) {
        CHECK(found[0] == 0.25f);
        CHECK(std::fabs(found[99'999] - (0.25 + 0.1f * 99'999.0)) < 1e-3);
      });
}

TEST_CASE("windows over volumes: taps, groups, types") {
  Rng rng(2);
  // 3 x 4 channels in two groups, 3 x 2 x 2 taps over 4 x 9 x 40 voxels with stride 1, 2, 1, dilation 1, 1, 3 and one voxel of padding in front.
  WindowShape s;
  s.in_channels = 4;
  s.out_channels = 6;
  s.groups = 2;
  s.batch = 2;
  const std::int64_t in[] = {4, 9, 40}, kernel[] = {3, 2, 2}, stride[] = {1, 2, 1}, dilation[] = {1, 1, 3};
  for (int d = 0; d < 3; ++d) {
    s.in[d] = in[d];
    s.kernel[d] = kernel[d];
    s.stride[d] = stride[d];
    s.dilation[d] = dilation[d];
    s.pad[d] = 1;
    s.out[d] = (in[d] + 1 - (kernel[d] - 1) * dilation[d] - 1) / stride[d] + 1;
  }
  const std::int64_t pixels = s.pixels(), voxels = in[0] * in[1] * in[2];
  std::vector<double> x(static_cast<std::size_t>(2 * 4 * voxels)), w(static_cast<std::size_t>(6 * 2 * 12)),
      out(static_cast<std::size_t>(2 * 6 * pixels));
  for (double& value : x) value = static_cast<double>(rng.integer(-8, 8));  // whole numbers: every order of the sums is exact
  for (double& value : w) value = static_cast<double>(rng.integer(-8, 8));
  const auto expected = [&](std::int64_t n, std::int64_t o, std::int64_t z, std::int64_t y, std::int64_t c) {
    double sum = 0;
    for (std::int64_t i = 0; i < 2; ++i) {
      for (std::int64_t t = 0; t < 12; ++t) {
        const std::int64_t iz = z - 1 + t / 4, iy = 2 * y - 1 + t / 2 % 2, ix = c - 1 + t % 2 * 3;
        if (iz < 0 || iz >= 4 || iy < 0 || iy >= 9 || ix < 0 || ix >= 40) continue;
        const std::int64_t channel = o / 3 * 2 + i;
        sum += x[static_cast<std::size_t>(((n * 4 + channel) * 4 + iz) * 360 + iy * 40 + ix)] *
               w[static_cast<std::size_t>((o * 2 + i) * 12 + t)];
      }
    }
    return sum;
  };
  const auto check = [&](const auto& found) {
    std::int64_t off = 0, at = 0;
    for (std::int64_t n = 0; n < 2; ++n) {
      for (std::int64_t o = 0; o < 6; ++o) {
        for (std::int64_t p = 0; p < pixels; ++p, ++at)
          off += static_cast<double>(found[static_cast<std::size_t>(at)]) !=
                 expected(n, o, p / s.out[2] / s.out[1], p / s.out[2] % s.out[1], p % s.out[2]);
      }
    }
    CHECK(off == 0);
  };
  const auto run_as = [&](auto element, auto result, DType dtype, DType out_type) {
    using T = decltype(element);
    using Out = decltype(result);
    std::vector<T> a(x.begin(), x.end()), b(w.begin(), w.end());
    std::vector<Out> to(out.size());
    WindowShape typed = s;
    typed.dtype = typed.weight = dtype;
    const auto all = [](const auto& v) { return Sizes{static_cast<std::int64_t>(v.size())}; };
    for_outputs(window_kernels(),
                WindowArgs{typed, view(a, dtype, all(a)), view(to, out_type, all(to)), view(b, dtype, all(b)), {}, {}, {}, {}, {}}, to,
                check);
  };
  run_as(float{}, float{}, DType::float32, DType::float32);
  run_as(double{}, double{}, DType::float64, DType::float64);
  run_as(std::int8_t{}, std::int32_t{}, DType::int8, DType::int32);
}

TEST_CASE("rows get mean 0 and variance 1") {
  Rng rng(3);
  const std::int64_t rows = 300, size = 301;
  std::vector<float> x = rng.reals(rows * size, -3, 9), gamma(size, 2), beta(size, 0.5f), out(x.size());
  const NormalizeArgs args{
      {rows, size, 0}, view(x, DType::float32, {rows, size}), view(out, DType::float32, {rows, size}), gamma.data(), beta.data(), 0};
  for_outputs(normalize_kernels(), args, out, [&](const std::vector<float>& y) {
    for (std::int64_t r = 0; r < rows; r += 37) {
      double mean = 0, squares = 0;
      for (std::int64_t i = 0; i < size; ++i) mean += y[static_cast<std::size_t>(r * size + i)] / static_cast<double>(size);
      for (std::int64_t i = 0; i < size; ++i)
        squares += std::pow(y[static_cast<std::size_t>(r * size + i)] - mean, 2) / static_cast<double>(size);
      CHECK(std::fabs(mean - 0.5) < 1e-5);
      CHECK(std::fabs(squares - 4) < 1e-4);
    }
  });
  std::vector<float> ones(2 * 5 * 1000, 1), normed(ones.size());
  const LrnArgs lrn{{2, 5, 1000, 3}, view(ones, DType::float32, {2, 5, 1000}), view(normed, DType::float32, {2, 5, 1000}), 3, 1, 1};
  for_outputs(lrn_kernels(), lrn, normed, [](const std::vector<float>& y) {
    CHECK(std::fabs(y[0] - 1.0f / 3) < 1e-6);     // at the edge two channels: 1 / (1 + 3/3 2)
    CHECK(std::fabs(y[2000] - 1.0f / 4) < 1e-6);  // inside three
  });
}

TEST_CASE("the largest and the smallest, equal ones in order, NaN above all") {
  std::vector<float> x{3, 1, 3, NAN, 2}, values(3);
  std::vector<std::int64_t> places(3);
  const auto args = [&](bool largest, bool last_first, bool indices) {
    return TopKArgs{{DType::float32, 1, 5, 1, 3, largest, last_first, indices},
                    view(x, DType::float32, {5}),
                    indices ? view(places, DType::int64, {3}) : view(values, DType::float32, {3})};
  };
  const auto are = [](std::vector<std::int64_t> expected) {
    return [=](const std::vector<std::int64_t>& found) { CHECK(found == expected); };
  };
  for_outputs(topk_kernels(), args(true, false, true), places, are({3, 0, 2}));
  for_outputs(topk_kernels(), args(true, true, true), places, are({3, 2, 0}));
  for_outputs(topk_kernels(), args(false, false, true), places, are({1, 4, 0}));
  for_outputs(topk_kernels(), args(false, false, false), values, [](const std::vector<float>& y) {
    CHECK(y == std::vector<float>{1, 2, 3});
  });
}

TEST_CASE("resampling sums what its tables say") {
  Rng rng(4);
  const std::int64_t height = 90, width = 500, out_width = 700;  // 63,000 outputs: several chunks
  std::vector<float> x = rng.reals(height * width), out(static_cast<std::size_t>(height * out_width));
  std::vector<std::int64_t> rows(static_cast<std::size_t>(height)), columns(static_cast<std::size_t>(2 * out_width));
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<double> weights(columns.size());
  std::vector<std::uint8_t> outside(static_cast<std::size_t>(out_width));
  for (std::size_t i = 0; i < columns.size(); ++i) {
    columns[i] = rng.integer(0, width - 1);
    weights[i] = i % 2 ? 0.25 : 0.75;
  }
  outside[5] = 1;
  ResizeArgs args{{DType::float32, height, out_width, 2},
                  view(x, DType::float32, {height, width}),
                  view(out, DType::float32, {height, out_width}),
                  {},
                  -7};
  args.axes[0] = {1, rows.data(), nullptr, nullptr};
  args.axes[1] = {2, columns.data(), weights.data(), outside.data()};
  for_outputs(resize_kernels(), args, out, [&](const std::vector<float>& y) {
    std::int64_t off = 0;
    for (std::int64_t r = 0; r < height; ++r) {
      for (std::int64_t c = 0; c < out_width; ++c) {
        const auto at = [&](std::int64_t t) {
          return static_cast<double>(x[static_cast<std::size_t>(r * width + columns[static_cast<std::size_t>(2 * c + t)])]);
        };
        const double expected = c == 5 ? -7 : 0.75 * at(0) + 0.25 * at(1);
        off += !(std::fabs(y[static_cast<std::size_t>(r * out_width + c)] - expected) < 1e-6);
      }
    }
    CHECK(off == 0);
  });
}

TEST_CASE("quantization rounds to even, saturates and comes back") {
  std::vector<float> x{0.5f, 1.5f, 2.5f, -1, 1000, -1000}, scale{1, 2}, back(6);
  std::vector<std::int8_t> zero{0, 10}, q(6);
  const TensorView scales = view(scale, DType::float32, {2}), zeros = view(zero, DType::int8, {2});
  const QuantizeShape to{false, DType::float32, DType::int8, DType::float32, 3, 2, 1, true, 0};
  for_outputs(quantize_kernels(), QuantizeArgs{to, view(x, DType::float32, {3, 2}), view(q, DType::int8, {3, 2}), scales, zeros}, q,
              [](const std::vector<std::int8_t>& found) {
                CHECK(found == std::vector<std::int8_t>{0, 11, 2, 10, 127, -128});
              });
  const QuantizeShape from{true, DType::int8, DType::float32, DType::float32, 3, 2, 1, true, 0};
  for_outputs(quantize_kernels(), QuantizeArgs{from, view(q, DType::int8, {3, 2}), view(back, DType::float32, {3, 2}), scales, zeros}, back,
              [](const std::vector<float>& found) {
                CHECK(found == std::vector<float>{0, 2, 2, 0, 127, -276});
              });
}

TEST_CASE("integer products take zero points per row and column") {
  Rng rng(5);
  const std::int64_t m = 70, n = 33, k = 50;
  std::vector<std::uint8_t> a(static_cast<std::size_t>(m * k)), a_zero{3};
  std::vector<std::int8_t> b(static_cast<std::size_t>(k * n)), b_zero(static_cast<std::size_t>(n));
  for (std::uint8_t& v : a) v = static_cast<std::uint8_t>(rng.integer(0, 255));
  for (std::int8_t& v : b) v = static_cast<std::int8_t>(rng.integer(-128, 127));
  for (std::int8_t& v : b_zero) v = static_cast<std::int8_t>(rng.integer(-9, 9));
  std::vector<std::int32_t> out(static_cast<std::size_t>(m * n));
  const IntegerGemmArgs args{{1, m, n, k, DType::uint8, DType::int8}, view(a, DType::uint8, {m, k}),  view(b, DType::int8, {k, n}),
                             view(out, DType::int32, {m, n}),         view(a_zero, DType::uint8, {}), view(b_zero, DType::int8, {n})};
  for_outputs(integer_gemm_kernels(), args, out, [&](const std::vector<std::int32_t>& y) {
    std::int64_t off = 0;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; ++j) {
        std::int32_t sum = 0;
        for (std::int64_t p = 0; p < k; ++p)
          sum +=
              (a[static_cast<std::size_t>(i * k + p)] - 3) * (b[static_cast<std::size_t>(p * n + j)] - b_zero[static_cast<std::size_t>(j)]);
        off += y[static_cast<std::size_t>(i * n + j)] != sum;
      }
    }
    CHECK(off == 0);
  });
}

}  // namespace
}  // namespace konv::test
