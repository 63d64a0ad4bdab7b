#include "engine/compress/statistics.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/outer/outer.h"

namespace konv::compress {
namespace {

constexpr std::int64_t kBlockRows = 128;  // samples that are gathered, then multiplied, while they lie in L2

const OuterKernel& outer_kernel(const Machine& machine) {
  for (const OuterKernel& kernel : outer_kernels()) {
    if (kernel.isa <= machine.isa) return kernel;
  }
  return outer_kernels().back();
}

/// Sums over samples z = (x, 1) and y = (t, 1): y z' and z z'.
struct Sums {
  Sums(std::int64_t k, std::int64_t m)
      : inputs(round_up(k + 1, kOuterBlock)), targets(round_up(m + 1, kOuterBlock)), zz(inputs, inputs), yz(targets, inputs) {}
  std::int64_t inputs, targets;
  Matrix zz, yz;
  std::vector<double> squares;  // of t
};

/// Pixels of one image that count, evenly spread; images begin at different ones.
std::vector<std::int64_t> chosen_pixels(std::int64_t pixels, std::int64_t wanted, std::int64_t image) {
  const std::int64_t step = std::max<std::int64_t>(1, pixels / std::max<std::int64_t>(1, wanted));
  std::vector<std::int64_t> chosen;
  for (std::int64_t p = image * 7 % step; p < pixels; p += step) chosen.push_back(p);
  return chosen;
}

/// The im2col row of output pixel `pixel` of group `group`, and its 1.
void gather(const ConvShape& s, const float* image, std::int64_t group, std::int64_t pixel, double* row) {
  const std::int64_t y = pixel / s.out_w() * s.stride_h - s.pad_top, x = pixel % s.out_w() * s.stride_w - s.pad_left;
  for (std::int64_t c = 0; c < s.group_in(); ++c) {
    const float* plane = image + (group * s.group_in() + c) * s.in_h * s.in_w;
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      const std::int64_t iy = y + ky * s.dilation_h;
      for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
        const std::int64_t ix = x + kx * s.dilation_w;
        const bool inside = iy >= 0 && iy < s.in_h && ix >= 0 && ix < s.in_w;
        *row++ = inside ? static_cast<double>(plane[iy * s.in_w + ix]) : 0.0;
      }
    }
  }
  *row = 1;
}

Moments centred(const Sums& sums, std::int64_t k, std::int64_t m) {
  Moments result;
  const double count = sums.zz.at(k, k);
  result.h = Matrix(k, k);
  result.t = Matrix(m, k);
  for (std::int64_t i = 0; i < k; ++i) result.mean.push_back(sums.zz.at(i, k) / count);
  const auto mean = [&](std::int64_t i) { return result.mean[static_cast<std::size_t>(i)]; };
  for (std::int64_t i = 0; i < k; ++i) {
    for (std::int64_t j = i; j < k; ++j) result.h.at(i, j) = result.h.at(j, i) = sums.zz.at(i, j) / count - mean(i) * mean(j);
  }
  for (std::int64_t o = 0; o < m; ++o) {
    const double target = sums.yz.at(o, k) / count;
    result.target_mean.push_back(target);
    result.target_variance.push_back(sums.squares[static_cast<std::size_t>(o)] / count - target * target);
    for (std::int64_t j = 0; j < k; ++j) result.t.at(o, j) = sums.yz.at(o, j) / count - target * mean(j);
  }
  return result;
}

}  // namespace

std::vector<Moments> moments(const Streams& streams, const ConvShape& s, const Samples& input, const Quantization* quantization,
                             const Samples* target, std::int64_t wanted_rows) {
  const std::int64_t k = s.k(), m = target ? s.group_out() : 0, pixels = s.out_pixels(), images = streams.images();
  const std::int64_t per_image = std::max<std::int64_t>(1, (wanted_rows + images - 1) / images);
  std::vector<Sums> sums(static_cast<std::size_t>(s.groups), Sums(k, m));
  for (Sums& group : sums) group.squares.resize(static_cast<std::size_t>(m));
  const OuterCode& outer = *outer_kernel(streams.machine()).code;
  std::vector<double> z(static_cast<std::size_t>(kBlockRows * sums.front().inputs)),
      y(static_cast<std::size_t>(kBlockRows * sums.front().targets));
  std::vector<float> reals(static_cast<std::size_t>(input.elements()));

  for (std::int64_t group = 0; group < s.groups; ++group) {
    Sums& to = sums[static_cast<std::size_t>(group)];
    std::fill(z.begin(), z.end(), 0.0);
    std::fill(y.begin(), y.end(), 0.0);
    std::int64_t rows = 0;
    const auto flush = [&] {
      const OuterArgs zz{{rows, to.inputs, to.inputs, true}, z.data(), z.data(), to.inputs, to.inputs, to.zz.values.data(), to.inputs};
      const OuterArgs yz{{rows, to.targets, to.inputs, false}, y.data(), z.data(), to.targets, to.inputs, to.yz.values.data(), to.inputs};
      const std::int64_t first = outer.chunks(zz.shape);
      streams.pool().run(first + (m ? outer.chunks(yz.shape) : 0), [&](std::int64_t chunk, int) {
        chunk < first ? outer.run(zz, chunk, nullptr) : outer.run(yz, chunk - first, nullptr);
      });
      rows = 0;
    };
    for (std::int64_t image = 0; image < images; ++image) {
      to_reals(input, quantization, image, reals.data());
      for (const std::int64_t pixel : chosen_pixels(pixels, per_image, image)) {
        gather(s, reals.data(), group, pixel, z.data() + rows * to.inputs);
        for (std::int64_t o = 0; o < m; ++o) {
          const auto t = static_cast<double>(target->f32(image)[(group * m + o) * pixels + pixel]);
          y[static_cast<std::size_t>(rows * to.targets + o)] = t;
          to.squares[static_cast<std::size_t>(o)] += t * t;
        }
        y[static_cast<std::size_t>(rows * to.targets + m)] = 1;
        if (++rows == kBlockRows) flush();
      }
    }
    if (rows > 0) flush();
  }
  std::vector<Moments> result;
  for (const Sums& group : sums) result.push_back(centred(group, k, m));
  return result;
}

}  // namespace konv::compress
