// The kernels beside convolution, run by the interpreter, against their definitions in double. Pitches and sizes straddle chunks, warps and blocks.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "kernels/base/activation.h"
#include "kernels/cuda/activate.h"
#include "kernels/cuda/launches.h"
#include "tests/cuda/device_arrays.h"
#include "tests/support/simt/kernels/run.h"

namespace konv::test {
namespace {

using cuda::Precision;

constexpr Precision kPrecisions[] = {Precision::float32, Precision::float16};

std::size_t bytes_of(std::int64_t elements, Precision p) { return static_cast<std::size_t>(elements * cuda::element_bytes(p)); }
std::int32_t i32(std::int64_t n) { return static_cast<std::int32_t>(n); }

/// Runs a launch in every thread order; `read` fetches the result, which must not depend on the order and must be near `expected`.
void check(const cuda::Launch& launch, DeviceBytes& out, const std::vector<simt::Buffer>& inputs, Precision p,
           const std::vector<double>& expected, const std::function<std::vector<float>()>& read, std::int64_t k = 1) {
  std::vector<float> forward;
  for (const simt::Order order : kOrders) {
    std::memset(out.data(), 0xff, out.size());
    simt::Options options{.order = order, .seed = 7, .count = true, .buffers = inputs};
    options.buffers.push_back(out.buffer("out", true));
    simt::run(launch, options);
    const std::vector<float> result = read();
    CHECK(worst_error(result, expected) <= allowed_error(p, k));
    if (forward.empty()) forward = result;
    CHECK(forward == result);
  }
}

TEST_CASE("cuda: pooling") {
  struct Window {
    std::int64_t n, c, h, w, kernel, stride, pad, dilation;
    bool include_pad;
  };
  for (const Precision p : kPrecisions) {
    for (const bool average : {false, true}) {
      for (const Window& w : {Window{2, 16, 8, 8, 2, 2, 0, 1, false},
                              {1, 5, 9, 7, 3, 2, 1, 1, false},
                              {3, 33, 11, 5, 3, 1, 1, 1, true},
                              {1, 8, 13, 13, 3, 2, 0, 2, false}}) {
        const std::int64_t oh = (w.h + 2 * w.pad - w.dilation * (w.kernel - 1) - 1) / w.stride + 1,
                           ow = (w.w + 2 * w.pad - w.dilation * (w.kernel - 1) - 1) / w.stride + 1;
        const std::int64_t pitch = cuda::pitch_of(w.c, p);
        Rng rng(31);
        const std::vector<float> x = random_values(rng, w.n * w.c * w.h * w.w, p);
        DeviceBytes in(bytes_of(w.n * w.h * w.w * pitch, p)), out(bytes_of(w.n * oh * ow * pitch, p));
        put_image(in.data(), x, w.n, w.c, w.h * w.w, p);
        std::vector<double> expected;
        for (std::int64_t plane = 0; plane < w.n * w.c; ++plane) {
          for (std::int64_t y = 0; y < oh; ++y) {
            for (std::int64_t z = 0; z < ow; ++z) {
              double sum = 0, most = -INFINITY;
              int taps = 0;
              for (std::int64_t k = 0; k < w.kernel * w.kernel; ++k) {
                const std::int64_t iy = y * w.stride - w.pad + k / w.kernel * w.dilation,
                                   ix = z * w.stride - w.pad + k % w.kernel * w.dilation;
                const bool inside = iy >= 0 && iy < w.h && ix >= 0 && ix < w.w;
                taps += inside || w.include_pad;
                if (!inside) continue;
                const double value = x[static_cast<std::size_t>((plane * w.h + iy) * w.w + ix)];
                sum += value;
                most = std::max(most, value);
              }
              expected.push_back(average ? sum / taps : most);
            }
          }
        }
        const std::int32_t count_pad = w.include_pad ? i32(w.pad) : 0;
        const cuda::PoolParams params = {.in = in.data(),
                                         .out = out.data(),
                                         .batch = i32(w.n),
                                         .in_h = i32(w.h),
                                         .in_w = i32(w.w),
                                         .pitch = i32(pitch),
                                         .channels = i32(w.c),
                                         .out_h = i32(oh),
                                         .out_w = i32(ow),
                                         .kernel_h = i32(w.kernel),
                                         .kernel_w = i32(w.kernel),
                                         .stride_h = i32(w.stride),
                                         .stride_w = i32(w.stride),
                                         .dilation_h = i32(w.dilation),
                                         .dilation_w = i32(w.dilation),
                                         .pad_top = i32(w.pad),
                                         .pad_left = i32(w.pad),
                                         .count_top = count_pad,
                                         .count_left = count_pad,
                                         .count_bottom = count_pad,
                                         .count_right = count_pad};
        check(
            cuda::launch_pool(p, average, params), out, {in.buffer("in")}, p, expected,
            [&] { return get_image(out.data(), w.n, w.c, oh * ow, p); }, w.kernel * w.kernel);
      }
    }
  }
}

TEST_CASE("cuda: arithmetic broadcasts, divides, activates") {
  // [2, 5, 3, 4] in NHWC with a channel vector, an image vector and a full operand.
  constexpr std::int64_t n = 2, c = 5, pixels = 12;
  for (const Precision p : kPrecisions) {
    const std::int64_t pitch = cuda::pitch_of(c, p);
    for (int kind = 0; kind < 8; ++kind) {
      for (int mode = 0; mode < 3; ++mode) {  // b: full, per channel, per image and channel
        Rng rng(37);
        const std::vector<float> x = random_values(rng, n * c * pixels, p);
        std::vector<float> y = random_values(rng, mode == 0 ? n * c * pixels : mode == 1 ? c : n * c, p);
        for (float& v : y) v = v < 0 ? v - 0.5f : v + 0.5f;  // nothing to divide by is near zero
        for (float& v : y) v = rounded(v, p);
        std::vector<float> base = x;
        if (kind == 4) {
          for (float& v : base) v = std::abs(v);  // real powers
        }
        DeviceBytes a(bytes_of(n * pixels * pitch, p)),
            b(bytes_of((mode == 0   ? n * pixels
                        : mode == 1 ? 1
                                    : n) *
                           pitch,
                       p)),
            out(bytes_of(n * pixels * pitch, p));
        put_image(a.data(), base, n, c, pixels, p);
        put_image(b.data(), y, mode == 1 ? 1 : n, c, mode == 0 ? pixels : 1, p);
        std::vector<double> expected;
        for (std::int64_t i = 0; i < n * c * pixels; ++i) {
          const double u = base[static_cast<std::size_t>(i)];
          const double v = y[static_cast<std::size_t>(mode == 0 ? i : mode == 1 ? i / pixels % c : i / pixels)];
          const double all[] = {u + v, u - v, u * v, u / v, std::pow(u, v), std::min(u, v), std::max(u, v), u < 0 ? u * v : u};
          const double r = all[kind];
          expected.push_back(r < 0 ? 0.25 * r : r);
        }
        cuda::BinaryParams params = {.a = a.data(),
                                     .b = b.data(),
                                     .out = out.data(),
                                     .count = n * pixels * c,
                                     .kind = kind,
                                     .rank = 3,
                                     .dims = {i32(n), i32(pixels), i32(c)},
                                     .a_strides = {pixels * pitch, pitch, 1},
                                     .b_strides = {},
                                     .out_strides = {pixels * pitch, pitch, 1},
                                     .activation = {ActivationKind::leaky_relu, 0.25f, 0}};
        const std::int64_t strides[3][3] = {{pixels * pitch, pitch, 1}, {0, 0, 1}, {pitch, 0, 1}};
        std::copy(std::begin(strides[mode]), std::end(strides[mode]), params.b_strides);
        const auto read = [&] {
          for (std::int64_t i = 0; i < n * pixels; ++i) {  // the kernel writes no pad lanes; whoever plans fills them
            for (std::int64_t lane = c; lane < pitch; ++lane) put(out.data(), i * pitch + lane, 0, p);
          }
          return get_image(out.data(), n, c, pixels, p);
        };
        check(cuda::launch_binary(p, params), out, {a.buffer("a"), b.buffer("b")}, p, expected, read, 4);
      }
    }
  }
}

TEST_CASE("cuda: scale, shift, residual and activation per channel, in place too") {
  constexpr std::int64_t n = 3, c = 13, pixels = 37;
  for (const Precision p : kPrecisions) {
    const std::int64_t pitch = cuda::pitch_of(c, p);
    Rng rng(41);
    const std::vector<float> x = random_values(rng, n * c * pixels, p), r = random_values(rng, n * c * pixels, p), scale = rng.reals(c),
                             shift = rng.reals(c);
    DeviceBytes in(bytes_of(n * pixels * pitch, p)), residual(in.size()), out(in.size()), scales(4 * c), shifts(4 * c);
    put_image(in.data(), x, n, c, pixels, p);
    put_image(residual.data(), r, n, c, pixels, p);
    std::memcpy(scales.data(), scale.data(), scales.size());
    std::memcpy(shifts.data(), shift.data(), shifts.size());
    std::vector<double> expected;
    for (std::int64_t i = 0; i < n * c * pixels; ++i) {
      const auto at = static_cast<std::size_t>(i), channel = static_cast<std::size_t>(i / pixels % c);
      expected.push_back(std::tanh(static_cast<double>(scale[channel]) * static_cast<double>(x[at]) + static_cast<double>(shift[channel]) +
                                   static_cast<double>(r[at])));
    }
    cuda::AffineParams params = {.in = in.data(),
                                 .out = out.data(),
                                 .chunks = i32(n * pixels * pitch * cuda::element_bytes(p) / 16),
                                 .channels = i32(c),
                                 .pitch = i32(pitch),
                                 .scale = static_cast<const float*>(scales.data()),
                                 .shift = static_cast<const float*>(shifts.data()),
                                 .residual = residual.data(),
                                 .activation = {ActivationKind::tanh, 0, 0}};
    const std::vector<simt::Buffer> inputs = {in.buffer("in"), residual.buffer("residual"), scales.buffer("scale"), shifts.buffer("shift")};
    check(cuda::launch_affine(p, params), out, inputs, p, expected, [&] { return get_image(out.data(), n, c, pixels, p); });
    params.out = in.data();
    simt::run(cuda::launch_affine(p, params), {});
    CHECK(get_image(in.data(), n, c, pixels, p) == get_image(out.data(), n, c, pixels, p));
  }
}

TEST_CASE("cuda: network inputs and outputs change layout and back") {
  for (const Precision p : kPrecisions) {
    for (const std::int64_t c : {1, 3, 4, 8, 9, 20}) {
      const std::int64_t n = 2, pixels = 67, pitch = cuda::pitch_of(c, p);
      Rng rng(43);
      const std::vector<float> x = random_values(rng, n * c * pixels, p);
      DeviceBytes plain(static_cast<std::size_t>(4 * n * c * pixels)), image(bytes_of(n * pixels * pitch, p)), back(plain.size());
      std::memcpy(plain.data(), x.data(), plain.size());
      const std::vector<double> expected(x.begin(), x.end());
      const cuda::ImageParams in = {plain.data(), image.data(), i32(n), i32(c), i32(pitch), pixels},
                              out = {image.data(), back.data(), i32(n), i32(c), i32(pitch), pixels};
      check(cuda::launch_image_in(p, in), image, {plain.buffer("plain")}, p, expected,
            [&] { return get_image(image.data(), n, c, pixels, p); });
      check(cuda::launch_image_out(p, out), back, {image.buffer("image")}, p, expected, [&] {
        std::vector<float> values(x.size());
        std::memcpy(values.data(), back.data(), back.size());
        return values;
      });
    }
  }
}

TEST_CASE("cuda: strided copies convert and fill") {
  // out[i][j] = in[j][2 - i], in of 7 x 3.
  for (const bool in_half : {false, true}) {
    for (const bool out_half : {false, true}) {
      const Precision from = in_half ? Precision::float16 : Precision::float32, to = out_half ? Precision::float16 : Precision::float32;
      Rng rng(47);
      const std::vector<float> x = random_values(rng, 21, Precision::float16);
      DeviceBytes in(bytes_of(21, from)), out(bytes_of(21, to));
      for (std::int64_t i = 0; i < 21; ++i) put(in.data(), i, x[static_cast<std::size_t>(i)], from);
      std::vector<double> expected;
      for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = 0; j < 7; ++j) expected.push_back(static_cast<double>(x[j * 3 + 2 - i]));
      }
      const auto* last = static_cast<const std::byte*>(in.data()) + bytes_of(2, from);
      const cuda::CopyParams params = {
          .in = last, .out = out.data(), .count = 21, .rank = 2, .dims = {3, 7}, .in_strides = {-1, 3}, .out_strides = {7, 1}};
      const auto read = [&] {
        std::vector<float> values;
        for (std::int64_t i = 0; i < 21; ++i) values.push_back(get(out.data(), i, to));
        return values;
      };
      check(cuda::launch_copy(in_half, out_half, params), out, {in.buffer("in")}, to, expected, read);
      check(cuda::launch_fill(to, {out.data(), 21, -1.5f}), out, {}, to, std::vector<double>(21, -1.5), read);
    }
  }
}

TEST_CASE("cuda: reductions") {
  // [n][pixels][pitch] over the pixels, and over channels and images at once.
  for (const Precision p : kPrecisions) {
    for (int kind = 0; kind < 4; ++kind) {
      for (const std::int64_t c : {8, 40}) {
        const std::int64_t n = 3, pixels = 49, pitch = cuda::pitch_of(c, p);
        Rng rng(53);
        const std::vector<float> x = random_values(rng, n * c * pixels, p);
        DeviceBytes in(bytes_of(n * pixels * pitch, p));
        put_image(in.data(), x, n, c, pixels, p);
        const auto start = [&] { return kind <= 1 ? 0.0 : kind == 2 ? -INFINITY : INFINITY; };
        const auto join = [&](double r, double v) { return kind <= 1 ? r + v : kind == 2 ? std::max(r, v) : std::min(r, v); };
        const auto value = [&](std::int64_t b, std::int64_t ch, std::int64_t pixel) {
          return static_cast<double>(x[static_cast<std::size_t>((b * c + ch) * pixels + pixel)]);
        };

        std::vector<double> per_channel(static_cast<std::size_t>(n * c), start()), per_pixel(static_cast<std::size_t>(pixels), start());
        for (std::int64_t b = 0; b < n; ++b) {
          for (std::int64_t ch = 0; ch < c; ++ch) {
            for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
              double& one = per_channel[static_cast<std::size_t>(b * c + ch)];
              one = join(one, value(b, ch, pixel));
              double& other = per_pixel[static_cast<std::size_t>(pixel)];
              other = join(other, value(b, ch, pixel));
            }
          }
        }
        if (kind == 0) {
          for (double& v : per_channel) v /= static_cast<double>(pixels);
          for (double& v : per_pixel) v /= static_cast<double>(n * c);
        }
        DeviceBytes channels(bytes_of(n * c, p)), each(bytes_of(pixels, p));
        const auto read = [&](DeviceBytes& from, std::int64_t count) {
          std::vector<float> values;
          for (std::int64_t i = 0; i < count; ++i) values.push_back(get(from.data(), i, p));
          return values;
        };
        const cuda::ReduceParams spatial = {.in = in.data(),
                                            .out = channels.data(),
                                            .kind = kind,
                                            .outputs = n * c,
                                            .reduced = pixels,
                                            .kept_rank = 2,
                                            .reduced_rank = 1,
                                            .kept = {i32(n), i32(c)},
                                            .over = {i32(pixels)},
                                            .in_kept = {pixels * pitch, 1},
                                            .in_over = {pitch},
                                            .out_kept = {c, 1}};
        check(
            cuda::launch_reduce(p, spatial), channels, {in.buffer("in")}, p, per_channel, [&] { return read(channels, n * c); }, pixels);
        const cuda::ReduceParams rest = {.in = in.data(),
                                         .out = each.data(),
                                         .kind = kind,
                                         .outputs = pixels,
                                         .reduced = n * c,
                                         .kept_rank = 1,
                                         .reduced_rank = 2,
                                         .kept = {i32(pixels)},
                                         .over = {i32(n), i32(c)},
                                         .in_kept = {pitch},
                                         .in_over = {pixels * pitch, 1},
                                         .out_kept = {1}};
        check(
            cuda::launch_reduce(p, rest), each, {in.buffer("in")}, p, per_pixel, [&] { return read(each, pixels); }, n * c * 10);
      }
    }
  }
}

TEST_CASE("cuda: softmax over neighbours and over strides, large numbers included") {
  for (const Precision p : kPrecisions) {
    for (const std::int64_t size : {1, 10, 33, 1000}) {
      const std::int64_t outer = 5, inner = size < 100 ? 3 : 1;
      Rng rng(59);
      std::vector<float> x = random_values(rng, outer * size * inner, p);
      for (float& v : x) v = rounded(v * 100, p);
      DeviceBytes in(bytes_of(outer * size * inner, p)), out(in.size());
      std::vector<double> expected(x.size());
      for (std::int64_t o = 0; o < outer; ++o) {
        for (std::int64_t i = 0; i < inner; ++i) {
          double most = -INFINITY, sum = 0;
          const auto at = [&](std::int64_t k) { return static_cast<std::size_t>((o * size + k) * inner + i); };
          for (std::int64_t k = 0; k < size; ++k) most = std::max(most, static_cast<double>(x[at(k)]));
          for (std::int64_t k = 0; k < size; ++k) sum += std::exp(static_cast<double>(x[at(k)]) - most);
          for (std::int64_t k = 0; k < size; ++k) expected[at(k)] = std::exp(static_cast<double>(x[at(k)]) - most) / sum;
        }
      }
      for (std::int64_t i = 0; i < std::ssize(x); ++i) put(in.data(), i, x[static_cast<std::size_t>(i)], p);
      const cuda::SoftmaxParams params = {in.data(), out.data(), outer, inner, i32(size), size * inner, 1, inner};
      check(
          cuda::launch_softmax(p, params), out, {in.buffer("in")}, p, expected,
          [&] {
            std::vector<float> values;
            for (std::int64_t i = 0; i < std::ssize(x); ++i) values.push_back(get(out.data(), i, p));
            return values;
          },
          100);
    }
  }
}

TEST_CASE("cuda: activations are those of the CPU") {
  for (int kind = 0; kind < kActivationKinds; ++kind) {
    CAPTURE(kind);
    const Activation a{static_cast<ActivationKind>(kind), 0.25f, 0.75f};
    for (float x = -8; x <= 8; x += 0.37f) {
      const float expected = apply(a, x), actual = cuda::activate(a, x);
      if (std::isnan(expected)) {
        CHECK(std::isnan(actual));
      } else {
        CHECK(std::abs(actual - expected) <= 2e-6f * (1 + std::abs(expected)));
      }
    }
    CHECK(std::isnan(cuda::activate(a, NAN)) == std::isnan(apply(a, NAN)));
  }
}

}  // namespace
}  // namespace konv::test
