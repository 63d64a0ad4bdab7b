#include "tests/support/random.h"

#include <algorithm>

namespace konv::test {

namespace {

/// Near 1, or just below, at or just above a multiple of `lanes`.
std::int64_t straddling(Rng& rng, std::int64_t lanes) {
  if (rng.chance(0.3)) return rng.integer(1, 4);
  return std::max<std::int64_t>(1, lanes * rng.pick({1, 1, 2, 3, 4}) + rng.integer(-1, 1));
}

ConvShape random_conv_shape(Rng& rng, std::int64_t lanes) {
  ConvShape s;
  s.batch = rng.pick({1, 1, 1, 2, 3});
  s.in_channels = straddling(rng, lanes);
  s.out_channels = straddling(rng, lanes);
  s.in_h = rng.chance(0.15) ? 1 : rng.integer(3, 17);
  s.in_w = rng.chance(0.5) ? straddling(rng, lanes) : rng.integer(3, 17);
  s.kernel_h = rng.pick({1, 2, 3, 3, 3, 5, 7});
  s.kernel_w = rng.chance(0.7) ? s.kernel_h : rng.pick({1, 2, 3, 5});
  s.stride_h = rng.pick({1, 1, 1, 2, 2, 3});
  s.stride_w = rng.chance(0.8) ? s.stride_h : rng.pick({1, 2});
  if (rng.chance(0.2)) s.dilation_h = s.dilation_w = rng.integer(2, 3);
  switch (rng.integer(0, 3)) {
    case 0: break;  // no padding
    case 1:
    case 2:
      s.pad_top = s.pad_bottom = s.dilation_h * (s.kernel_h / 2);
      s.pad_left = s.pad_right = s.dilation_w * (s.kernel_w / 2);
      break;
    default:
      s.pad_top = rng.integer(0, s.kernel_h), s.pad_bottom = rng.integer(0, s.kernel_h);
      s.pad_left = rng.integer(0, s.kernel_w), s.pad_right = rng.integer(0, s.kernel_w);
  }
  switch (rng.integer(0, 7)) {
    case 0:  // depthwise
      s.groups = s.in_channels;
      s.out_channels = s.in_channels * rng.pick({1, 1, 2});
      break;
    case 1:  // grouped
      s.groups = rng.integer(2, 4);
      s.in_channels *= s.groups;
      s.out_channels *= s.groups;
      break;
    case 2:  // pointwise
      s.kernel_h = s.kernel_w = s.dilation_h = s.dilation_w = 1;
      s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = 0;
      break;
    default: break;  // dense
  }
  return s;
}

bool valid(const ConvShape& s) {
  return s.in_h + s.pad_top + s.pad_bottom >= s.dilation_h * (s.kernel_h - 1) + 1 &&
         s.in_w + s.pad_left + s.pad_right >= s.dilation_w * (s.kernel_w - 1) + 1;
}

}  // namespace

std::vector<float> Rng::reals(std::int64_t count, float low, float high) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = real(low, high);
  return values;
}

std::vector<ConvShape> random_conv_shapes(const ConvShapesOptions& options) {
  Rng rng(options.seed);
  std::vector<ConvShape> shapes;
  while (static_cast<int>(shapes.size()) < options.count) {
    const ConvShape shape = random_conv_shape(rng, options.straddle);
    if (valid(shape) && shape.macs() <= options.max_macs) shapes.push_back(shape);
  }
  return shapes;
}

}  // namespace konv::test
