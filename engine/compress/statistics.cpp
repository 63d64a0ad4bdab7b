#include "engine/compress/statistics.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "kernels/cpu/outer/outer.h"

namespace konv::compress {
namespace {

constexpr std::int64_t kBlockRows = 128;  // samples that are gathered, then multiplied, while they lie in L2
constexpr std::int64_t kGatherRows = 16;  // that one thread gathers at a time

const OuterKernel& outer_kernel(const Machine& machine) {
  for (const OuterKernel& kernel : outer_kernels()) {
    if (kernel.isa <= machine.isa) return kernel;
  }
  return outer_kernels().back();
}

/// Sums over samples z = (x, 1) and y = (t, 1): y z' and, with `inputs_too`, z z'.
struct Sums {
  Sums(std::int64_t k, std::int64_t m, bool inputs_too)
      : inputs(round_up(k + 1, kOuterBlock)), targets(round_up(m + 1, kOuterBlock)), squares(static_cast<std::size_t>(m)) {
    if (inputs_too) zz = Matrix(inputs, inputs);
    if (m) yz = Matrix(targets, inputs);
  }
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

/// The im2col row of output pixel `pixel` of a group, and its 1. `image`: the group's channels.
void gather(const ConvShape& s, const float* image, std::int64_t pixel, double* row) {
  const std::int64_t y = pixel / s.out_w() * s.stride_h - s.pad_top, x = pixel % s.out_w() * s.stride_w - s.pad_left;
  for (std::int64_t c = 0; c < s.group_in(); ++c) {
    const float* plane = image + c * s.in_h * s.in_w;
    for (std::int64_t ky = 0; ky < s.kernel_h; ++ky) {
      const std::int64_t iy = y + ky * s.dilation_h;
      const bool inside_y = iy >= 0 && iy < s.in_h;
      for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
        const std::int64_t ix = x + kx * s.dilation_w;
        *row++ = inside_y && ix >= 0 && ix < s.in_w ? static_cast<double>(plane[iy * s.in_w + ix]) : 0.0;
      }
    }
  }
  *row = 1;
}

/// All samples of one layer, in one order, whoever does the work.
struct Walk {
  const Streams& streams;
  const ConvShape& s;
  const Samples& input;
  const Quantization* quantization;
  const Samples* target;
  std::int64_t per_image;

  /// Adds the samples of `group`. `pool` may be null.
  void add(std::int64_t group, Sums& to, ThreadPool* pool) const {
    const std::int64_t m = target ? s.group_out() : 0, pixels = s.out_pixels(), in = s.group_in() * s.in_h * s.in_w;
    const OuterCode& outer = *outer_kernel(streams.machine()).code;
    std::vector<double> z(static_cast<std::size_t>(kBlockRows * to.inputs)), y(static_cast<std::size_t>(kBlockRows * to.targets));
    struct Row {
      std::int64_t image, slot, pixel;
    };
    std::vector<Row> rows;
    std::vector<float> reals;  // of the images that `rows` speak of
    const auto each = [&](std::int64_t count, const auto& f) {
      if (pool) {
        pool->run(count, [&](std::int64_t i, int) { f(i); });
      } else {
        for (std::int64_t i = 0; i < count; ++i) f(i);
      }
    };
    const auto flush = [&] {
      const std::int64_t count = std::ssize(rows);
      each(ceil_div(count, kGatherRows), [&](std::int64_t chunk) {
        for (std::int64_t r = chunk * kGatherRows; r < std::min(count, (chunk + 1) * kGatherRows); ++r) {
          const Row& row = rows[static_cast<std::size_t>(r)];
          gather(s, reals.data() + row.slot * in, row.pixel, z.data() + r * to.inputs);
          const float* wanted = m ? target->f32(row.image) + group * m * pixels + row.pixel : nullptr;
          for (std::int64_t o = 0; o < m; ++o) y[static_cast<std::size_t>(r * to.targets + o)] = static_cast<double>(wanted[o * pixels]);
          y[static_cast<std::size_t>(r * to.targets + m)] = 1;
        }
      });
      for (std::int64_t r = 0; r < count; ++r) {
        for (std::int64_t o = 0; o < m; ++o) {
          const double t = y[static_cast<std::size_t>(r * to.targets + o)];
          to.squares[static_cast<std::size_t>(o)] += t * t;
        }
      }
      const OuterArgs zz{{count, to.inputs, to.inputs, true}, z.data(), z.data(), to.inputs, to.inputs, to.zz.values.data(), to.inputs};
      const OuterArgs yz{{count, to.targets, to.inputs, false}, y.data(), z.data(), to.targets, to.inputs, to.yz.values.data(), to.inputs};
      const std::int64_t first = to.zz.rows ? outer.chunks(zz.shape) : 0;
      each(first + (m ? outer.chunks(yz.shape) : 0),
           [&](std::int64_t chunk) { chunk < first ? outer.run(zz, chunk, nullptr) : outer.run(yz, chunk - first, nullptr); });
      rows.clear();
      reals.clear();
    };
    for (std::int64_t image = 0; image < streams.images(); ++image) {
      std::int64_t slot = -1;
      for (const std::int64_t pixel : chosen_pixels(pixels, per_image, image)) {
        if (slot < 0) {
          slot = std::ssize(reals) / in;
          reals.resize(reals.size() + static_cast<std::size_t>(in));
          to_reals(input, quantization, image, group * in, in, reals.data() + slot * in);
        }
        rows.push_back({image, slot, pixel});
        if (std::ssize(rows) == kBlockRows) flush(), slot = -1;
      }
    }
    if (!rows.empty()) flush();
  }
};

/// One group after the other, each with all threads; where there are many, side by side.
void for_groups(const Streams& streams, const ConvShape& s, const std::function<void(std::int64_t, ThreadPool*)>& f) {
  if (s.groups < streams.pool().threads() || s.groups == 1) {
    for (std::int64_t group = 0; group < s.groups; ++group) f(group, &streams.pool());
  } else {
    streams.pool().run(s.groups, [&](std::int64_t group, int) { f(group, nullptr); });
  }
}

void set_target(Moments& moments, const Sums& sums, std::int64_t k, std::int64_t m) {
  const double count = sums.yz.at(m, k);
  moments.t = Matrix(m, k);
  moments.target_mean.clear();
  moments.target_variance.clear();
  for (std::int64_t o = 0; o < m; ++o) {
    const double target = sums.yz.at(o, k) / count;
    moments.target_mean.push_back(target);
    moments.target_variance.push_back(sums.squares[static_cast<std::size_t>(o)] / count - target * target);
    for (std::int64_t j = 0; j < k; ++j) moments.t.at(o, j) = sums.yz.at(o, j) / count - target * moments.mean[static_cast<std::size_t>(j)];
  }
}

}  // namespace

std::vector<Moments> moments(const Streams& streams, const ConvShape& s, const Samples& input, const Quantization* quantization,
                             const Samples* target, std::int64_t rows) {
  const std::int64_t k = s.k(), m = target ? s.group_out() : 0;
  std::vector<Moments> result(static_cast<std::size_t>(s.groups));
  const Walk walk{streams, s, input, quantization, target, std::max<std::int64_t>(1, (rows + streams.images() - 1) / streams.images())};
  for_groups(streams, s, [&](std::int64_t group, ThreadPool* pool) {
    Sums sums(k, m, true);
    walk.add(group, sums, pool);
    Moments& moments = result[static_cast<std::size_t>(group)];
    const double count = sums.zz.at(k, k);
    for (std::int64_t i = 0; i < k; ++i) moments.mean.push_back(sums.zz.at(i, k) / count);
    moments.h = Matrix(k, k);
    for (std::int64_t i = 0; i < k; ++i) {
      for (std::int64_t j = i; j < k; ++j)
        moments.h.at(i, j) = moments.h.at(j, i) =
            sums.zz.at(i, j) / count - moments.mean[static_cast<std::size_t>(i)] * moments.mean[static_cast<std::size_t>(j)];
    }
    if (m) set_target(moments, sums, k, m);
  });
  return result;
}

void set_target(std::vector<Moments>& groups, const Streams& streams, const ConvShape& s, const Samples& input,
                const Quantization* quantization, const Samples& target, std::int64_t rows) {
  const Walk walk{streams, s, input, quantization, &target, std::max<std::int64_t>(1, (rows + streams.images() - 1) / streams.images())};
  for_groups(streams, s, [&](std::int64_t group, ThreadPool* pool) {
    Sums sums(s.k(), s.group_out(), false);
    walk.add(group, sums, pool);
    set_target(groups[static_cast<std::size_t>(group)], sums, s.k(), s.group_out());
  });
}

}  // namespace konv::compress
