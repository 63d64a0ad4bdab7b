// Window operators as their formulas say.
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"
#include "kernels/cpu/typed.h"
#include "kernels/cpu/window/window.h"

namespace konv {
namespace {

const char* refuse_window_packed(const WindowShape& s) {
  if (const char* packed = refuse_packed(s.dtype)) return packed;
  return refuse_packed(s.weight);
}

std::int64_t work_per_pixel(const WindowShape& s) {
  const std::int64_t channels = s.kind <= WindowKind::conv_transpose ? larger(1, s.in_channels / larger(1, s.groups)) : 1;
  return s.taps() * channels;
}

double cost_window(const WindowShape& s, const Machine&) {
  return kNaiveSeconds * static_cast<double>(s.batch * s.out_channels * s.pixels() * work_per_pixel(s)) + kCallSeconds;
}

/// Taps of dimension d whose input lies inside, and the input of tap 0, for output `at`.
struct Reach {
  std::int64_t start;
  Range taps;
};

Reach reach(const WindowShape& s, int d, std::int64_t at) {
  const std::int64_t start = at * s.stride[d] - s.pad[d], step = s.dilation[d];
  const std::int64_t begin = start < 0 ? ceil_div(-start, step) : 0;
  const std::int64_t end = start < s.in[d] ? ceil_div(s.in[d] - start, step) : 0;
  return {start, {begin, larger(begin, smaller(s.kernel[d], end))}};
}

/// Calls f(tap, pixel) for the taps of output (z, y, x) that lie inside, in order.
template <class F>
void for_taps(const WindowShape& s, const std::int64_t (&at)[3], const F& f) {
  const Reach z = reach(s, 0, at[0]), y = reach(s, 1, at[1]), x = reach(s, 2, at[2]);
  for (std::int64_t kz = z.taps.begin; kz < z.taps.end; ++kz) {
    for (std::int64_t ky = y.taps.begin; ky < y.taps.end; ++ky) {
      const std::int64_t row = ((z.start + kz * s.dilation[0]) * s.in[1] + y.start + ky * s.dilation[1]) * s.in[2] + x.start;
      const std::int64_t tap = (kz * s.kernel[1] + ky) * s.kernel[2];
      for (std::int64_t kx = x.taps.begin; kx < x.taps.end; ++kx) f(tap + kx, row + kx * s.dilation[2]);
    }
  }
}

/// What an average is divided by: taps inside the image, or inside the padding too.
std::int64_t divisor(const WindowShape& s, const std::int64_t (&at)[3]) {
  std::int64_t count = 1;
  for (int d = 0; d < 3; ++d) {
    std::int64_t taps = 0;
    for (std::int64_t k = 0; k < s.kernel[d]; ++k) {
      const std::int64_t i = at[d] * s.stride[d] - s.pad[d] + k * s.dilation[d];
      taps += s.count_include_pad ? i < s.in[d] + s.pad_end[d] : i >= 0 && i < s.in[d];
    }
    count *= taps;
  }
  return count;
}

/// One element's type for sums: integers add up in int32, as ONNX says.
template <class T>
using Sum = std::conditional_t<std::is_floating_point_v<T>, T, std::int32_t>;

template <class T>
Sum<T> zero_point(const TensorView& zero, std::int64_t channel) {
  if (!zero.data) return 0;
  return static_cast<Sum<T>>(static_cast<const T*>(zero.data)[zero.count() > 1 ? channel : 0]);
}

/// A plane of a convolution's output: f(n, o) knows which one.
struct Plane {
  std::int64_t n, channel;
};

template <class In, class Weight>
auto conv(const WindowArgs& args, Plane plane, const std::int64_t (&at)[3]) {
  using T = typename In::Compute;
  using W = typename Weight::Compute;
  const WindowShape& s = args.shape;
  const std::int64_t group_in = s.in_channels / s.groups, pixels = s.in[0] * s.in[1] * s.in[2];
  const std::int64_t first = plane.channel / (s.out_channels / s.groups) * group_in;
  const auto* in = static_cast<const typename In::Stored*>(args.in.data) + (plane.n * s.in_channels + first) * pixels;
  const auto* weight = static_cast<const typename Weight::Stored*>(args.weight.data) + plane.channel * group_in * s.taps();
  const Sum<T> in_zero = zero_point<T>(args.in_zero, 0);
  const auto weight_zero = static_cast<Sum<T>>(zero_point<W>(args.weight_zero, plane.channel));
  Sum<T> sum = 0;
  for (std::int64_t c = 0; c < group_in; ++c) {
    for_taps(s, at, [&](std::int64_t tap, std::int64_t pixel) {
      const auto x = static_cast<Sum<T>>(static_cast<Sum<T>>(In::load(in[c * pixels + pixel])) - in_zero);
      const auto w = static_cast<Sum<T>>(static_cast<Sum<T>>(Weight::load(weight[c * s.taps() + tap])) - weight_zero);
      sum = add(sum, multiply(x, w));
    });
  }
  return sum;
}

/// Output pixel o gathers input pixel i with tap k where o + pad = i stride + k dilation.
template <class In>
auto conv_transpose(const WindowArgs& args, Plane plane, const std::int64_t (&at)[3]) {
  using T = typename In::Compute;
  const WindowShape& s = args.shape;
  const std::int64_t group_in = s.in_channels / s.groups, group_out = s.out_channels / s.groups, pixels = s.in[0] * s.in[1] * s.in[2];
  const std::int64_t group = plane.channel / group_out, o = plane.channel % group_out;
  const auto* in = static_cast<const typename In::Stored*>(args.in.data) + (plane.n * s.in_channels + group * group_in) * pixels;
  const auto* weight = static_cast<const typename In::Stored*>(args.weight.data);
  Sum<T> sum = 0;
  const auto source = [&](int d, std::int64_t k) {  // -1: none
    const std::int64_t i = at[d] + s.pad[d] - k * s.dilation[d];
    return i >= 0 && i % s.stride[d] == 0 && i / s.stride[d] < s.in[d] ? i / s.stride[d] : -1;
  };
  for (std::int64_t kz = 0; kz < s.kernel[0]; ++kz) {
    const std::int64_t z = source(0, kz);
    if (z < 0) continue;
    for (std::int64_t ky = 0; ky < s.kernel[1]; ++ky) {
      const std::int64_t y = source(1, ky);
      if (y < 0) continue;
      for (std::int64_t kx = 0; kx < s.kernel[2]; ++kx) {
        const std::int64_t x = source(2, kx);
        if (x < 0) continue;
        const std::int64_t pixel = (z * s.in[1] + y) * s.in[2] + x, tap = (kz * s.kernel[1] + ky) * s.kernel[2] + kx;
        for (std::int64_t c = 0; c < group_in; ++c) {
          const auto w = In::load(weight[((group * group_in + c) * group_out + o) * s.taps() + tap]);
          sum = add(sum, multiply(static_cast<Sum<T>>(In::load(in[c * pixels + pixel])), static_cast<Sum<T>>(w)));
        }
      }
    }
  }
  return sum;
}

/// Bias, residual and activation, and into the output.
template <class In, class T>
void store_conv(const WindowArgs& args, Plane plane, std::int64_t pixel, T sum) {
  const std::int64_t at = (plane.n * args.shape.out_channels + plane.channel) * args.shape.pixels() + pixel;
  if constexpr (std::is_floating_point_v<T>) {
    using Stored = typename In::Stored;
    if (args.bias.data) sum += In::load(static_cast<const Stored*>(args.bias.data)[plane.channel]);
    if (args.residual.data) sum += In::load(static_cast<const Stored*>(args.residual.data)[at]);
    static_cast<Stored*>(args.out.data)[at] = In::store(apply(args.activation, sum));
  } else {
    static_cast<std::int32_t*>(args.out.data)[at] = sum;
  }
}

template <class In>
void pool(const WindowArgs& args, Plane plane, std::int64_t pixel, const std::int64_t (&at)[3]) {
  using T = typename In::Compute;
  const WindowShape& s = args.shape;
  const std::int64_t image = plane.n * s.in_channels + plane.channel, first = image * s.in[0] * s.in[1] * s.in[2];
  const auto* in = static_cast<const typename In::Stored*>(args.in.data) + first;
  const std::int64_t to = image * s.pixels() + pixel;
  auto* out = static_cast<typename In::Stored*>(args.out.data);
  if (s.kind == WindowKind::max || s.kind == WindowKind::max_index) {
    T best = lowest_of<T>();
    std::int64_t place = 0;
    bool any = false;
    for_taps(s, at, [&](std::int64_t, std::int64_t p) {
      const T x = In::load(in[p]);
      if (any && !(best < x)) return;
      any = true;
      best = x;
      place = p;
    });
    if (s.kind == WindowKind::max) {
      out[to] = In::store(best);
      return;
    }
    if (s.column_major) {
      const std::int64_t x = place % s.in[2], y = place / s.in[2] % s.in[1], z = place / s.in[2] / s.in[1];
      place = (x * s.in[1] + y) * s.in[0] + z;
    }
    static_cast<std::int64_t*>(args.out.data)[to] = first + place;
    return;
  }
  if constexpr (std::is_floating_point_v<T>) {
    T sum = 0;
    const T order = static_cast<T>(s.order);
    for_taps(s, at, [&](std::int64_t, std::int64_t p) {
      const T x = In::load(in[p]);
      sum += s.kind == WindowKind::average ? x : std::pow(std::fabs(x), order);
    });
    if (s.kind == WindowKind::lp) {
      out[to] = In::store(std::pow(sum, 1 / order));
      return;
    }
    const std::int64_t taps = divisor(s, at);
    out[to] = In::store(taps > 0 ? sum / static_cast<T>(taps) : T(0));
  }
}

PlaneTiles tiles(const WindowShape& s) {
  return tile_planes(s.batch * s.out_channels, s.out[0] * s.out[1], s.out[2] * work_per_pixel(s), kChunkMacs / 10);
}

std::int64_t chunks(const WindowShape& s) { return s.pixels() == 0 ? 0 : tiles(s).count(); }
std::size_t workspace(const WindowShape&) { return 0; }

/// Calls f(plane, pixel, (z, y, x)) for every output of the chunk.
template <class F>
void for_outputs(const WindowShape& s, std::int64_t chunk, const F& f) {
  const PlaneTiles t = tiles(s);
  const Range planes = piece(s.batch * s.out_channels, t.planes_per_chunk, chunk / t.row_chunks);
  const Range rows = piece(s.out[0] * s.out[1], t.rows_per_chunk, chunk % t.row_chunks);
  for (std::int64_t p = planes.begin; p < planes.end; ++p) {
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      for (std::int64_t x = 0; x < s.out[2]; ++x) {
        const std::int64_t at[3] = {row / s.out[1], row % s.out[1], x};
        f(Plane{p / s.out_channels, p % s.out_channels}, row * s.out[2] + x, at);
      }
    }
  }
}

void run(const WindowArgs& args, std::int64_t chunk, void*) {
  const WindowShape& s = args.shape;
  with_type(s.dtype, [&](auto type) {
    using In = decltype(type);
    if (s.kind == WindowKind::conv && s.weight == s.dtype) {
      return for_outputs(s, chunk, [&](Plane plane, std::int64_t pixel, const std::int64_t(&at)[3]) {
        store_conv<In>(args, plane, pixel, conv<In, In>(args, plane, at));
      });
    }
    if (s.kind == WindowKind::conv) {  // integers of two types
      if constexpr (sizeof(typename In::Stored) == 1) {
        using Other = std::conditional_t<std::is_same_v<typename In::Stored, std::int8_t>, Plain<std::uint8_t>, Plain<std::int8_t>>;
        for_outputs(s, chunk, [&](Plane plane, std::int64_t pixel, const std::int64_t(&at)[3]) {
          store_conv<In>(args, plane, pixel, conv<In, Other>(args, plane, at));
        });
      }
      return;
    }
    if (s.kind == WindowKind::conv_transpose) {
      return for_outputs(s, chunk, [&](Plane plane, std::int64_t pixel, const std::int64_t(&at)[3]) {
        store_conv<In>(args, plane, pixel, conv_transpose<In>(args, plane, at));
      });
    }
    for_outputs(s, chunk, [&](Plane plane, std::int64_t pixel, const std::int64_t(&at)[3]) { pool<In>(args, plane, pixel, at); });
  });
}

extern const WindowCode window_reference_code;
const WindowCode window_reference_code = {chunks, workspace, run};

}  // namespace

std::span<const WindowKernel> window_kernels() {
  static const WindowKernel kernels[] = {
#define KONV_WINDOW(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/window/window_kernels.inc"
#undef KONV_WINDOW
  };
  return kernels;
}

}  // namespace konv
