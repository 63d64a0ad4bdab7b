// The reference runner's window operators, for any number of spatial dimensions.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/reference_ops.h"

namespace konv::test {

namespace {

/// One spatial dimension of a window operator.
struct Axis {
  std::int64_t in, kernel, stride, dilation, begin, end, out;

  std::int64_t extent() const { return (kernel - 1) * dilation + 1; }
};

std::int64_t entry(const Ints& list, std::size_t i, std::int64_t otherwise) { return list.empty() ? otherwise : list[i]; }

std::vector<Axis> axes_of(const Window& window, const Ints& kernel, const Dims& image) {
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    Axis a{image[i + 2], kernel[i], entry(window.strides, i, 1), entry(window.dilations, i, 1), 0, 0, 0};
    if (window.auto_pad == AutoPad::explicit_pads) {
      a.begin = entry(window.pads, i, 0);
      a.end = entry(window.pads, i + kernel.size(), 0);
    }
    axes.push_back(a);
  }
  return axes;
}

/// The output size of a convolution or a pooling, and the pads that auto_pad asks for.
void slide(std::vector<Axis>& axes, AutoPad auto_pad, bool ceil_mode) {
  for (Axis& a : axes) {
    if (auto_pad == AutoPad::same_upper || auto_pad == AutoPad::same_lower) {
      a.out = (a.in + a.stride - 1) / a.stride;
      const std::int64_t total = std::max<std::int64_t>(0, (a.out - 1) * a.stride + a.extent() - a.in);
      a.begin = auto_pad == AutoPad::same_upper ? total / 2 : total - total / 2;
      a.end = total - a.begin;
      continue;
    }
    const std::int64_t room = a.in + a.begin + a.end - a.extent();
    a.out = (ceil_mode ? (room + a.stride - 1) / a.stride : room / a.stride) + 1;
    if (ceil_mode && (a.out - 1) * a.stride >= a.in + a.begin) --a.out;  // would start in the end padding
  }
}

template <class Size>
Dims sizes(const std::vector<Axis>& axes, Size size) {
  Dims dims;
  for (const Axis& a : axes) dims.push_back(size(a));
  return dims;
}
Dims in_sizes(const std::vector<Axis>& axes) {
  return sizes(axes, [](const Axis& a) { return a.in; });
}
Dims out_sizes(const std::vector<Axis>& axes) {
  return sizes(axes, [](const Axis& a) { return a.out; });
}
Dims kernel_sizes(const std::vector<Axis>& axes) {
  return sizes(axes, [](const Axis& a) { return a.kernel; });
}

constexpr std::int64_t kPadding = -1, kBeyondPadding = -2;

/// [output pixel][tap]: the input pixel that is read there, or where else the tap lies.
std::vector<std::int64_t> tap_table(const std::vector<Axis>& axes) {
  const Dims in = in_sizes(axes), out = out_sizes(axes), kernel = kernel_sizes(axes);
  std::vector<std::int64_t> table;
  for (std::int64_t p = 0; p < product(out); ++p) {
    const Ints pixel = index_of(out, p);
    for (std::int64_t t = 0; t < product(kernel); ++t) {
      const Ints tap = index_of(kernel, t);
      Ints at(axes.size());
      bool inside = true, beyond = false;
      for (std::size_t i = 0; i < axes.size(); ++i) {
        at[i] = pixel[i] * axes[i].stride - axes[i].begin + tap[i] * axes[i].dilation;
        inside = inside && at[i] >= 0 && at[i] < axes[i].in;
        beyond = beyond || at[i] >= axes[i].in + axes[i].end;
      }
      table.push_back(inside ? position(in, at) : (beyond ? kBeyondPadding : kPadding));
    }
  }
  return table;
}

Dims image_dims(std::int64_t batch, std::int64_t channels, const Dims& spatial) {
  Dims dims{batch, channels};
  dims.insert(dims.end(), spatial.begin(), spatial.end());
  return dims;
}

}  // namespace

Data run_op(const Conv& op, const Inputs& in) {
  const Data &x = *in[Conv::kInput], &w = *in[Conv::kWeight];
  const Data *bias = input(in, Conv::kBias), *residual = input(in, Conv::kResidual);
  std::vector<Axis> axes = axes_of(op.window, Ints(w.dims.begin() + 2, w.dims.end()), x.dims);
  slide(axes, op.window.auto_pad, false);
  const std::vector<std::int64_t> table = tap_table(axes);

  const std::int64_t taps = product(w.dims, 2, w.rank()), in_pixels = product(x.dims, 2, x.rank()), pixels = product(out_sizes(axes));
  const std::int64_t outputs = w.dim(0), group_in = w.dim(1), group_out = outputs / op.groups;
  Data y = real_data(image_dims(x.dim(0), outputs, out_sizes(axes)));
  std::size_t at = 0;
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    for (std::int64_t o = 0; o < outputs; ++o) {
      const std::int64_t first_channel = o / group_out * group_in;
      for (std::int64_t p = 0; p < pixels; ++p, ++at) {
        double sum = bias ? bias->real[o] : 0;
        for (std::int64_t i = 0; i < group_in; ++i) {
          const double* image = x.real.data() + (n * x.dim(1) + first_channel + i) * in_pixels;
          const double* kernel = w.real.data() + (o * group_in + i) * taps;
          for (std::int64_t t = 0; t < taps; ++t) {
            const std::int64_t source = table[p * taps + t];
            if (source >= 0) sum += kernel[t] * image[source];
          }
        }
        if (residual) sum += residual->real[at];
        y.real[at] = activate(op.activation, sum);
      }
    }
  }
  return y;
}

// Each input pixel is stamped onto the output: out[in * stride - begin + tap * dilation] += in * weight[tap].
Data run_op(const ConvTranspose& op, const Inputs& in) {
  const Data &x = *in[ConvTranspose::kInput], &w = *in[ConvTranspose::kWeight];
  const Data* bias = input(in, ConvTranspose::kBias);
  std::vector<Axis> axes = axes_of(op.window, Ints(w.dims.begin() + 2, w.dims.end()), x.dims);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    Axis& a = axes[i];
    const std::int64_t whole = (a.in - 1) * a.stride + a.extent() + entry(op.output_padding, i, 0);
    const bool same = op.window.auto_pad == AutoPad::same_upper || op.window.auto_pad == AutoPad::same_lower;
    if (op.output_shape.empty() && !same) {
      a.out = whole - a.begin - a.end;
      continue;
    }
    a.out = op.output_shape.empty() ? a.in * a.stride : op.output_shape[i];
    const std::int64_t cut = std::max<std::int64_t>(0, whole - a.out);
    a.begin = op.window.auto_pad == AutoPad::same_upper ? cut / 2 : cut - cut / 2;  // ONNX ConvTranspose
  }

  const Dims kernel = kernel_sizes(axes), out = out_sizes(axes), source = in_sizes(axes);
  const std::int64_t taps = product(kernel), pixels = product(out), in_pixels = product(source);
  const std::int64_t group_out = w.dim(1), outputs = group_out * op.groups, group_in = x.dim(1) / op.groups;
  Data y = real_data(image_dims(x.dim(0), outputs, out));
  for (std::int64_t n = 0; n < x.dim(0); ++n) {
    for (std::int64_t p = 0; p < in_pixels; ++p) {
      const Ints pixel = index_of(source, p);
      for (std::int64_t t = 0; t < taps; ++t) {
        const Ints tap = index_of(kernel, t);
        Ints at(axes.size());
        bool inside = true;
        for (std::size_t i = 0; i < axes.size(); ++i) {
          at[i] = pixel[i] * axes[i].stride - axes[i].begin + tap[i] * axes[i].dilation;
          inside = inside && at[i] >= 0 && at[i] < out[i];
        }
        if (!inside) continue;
        for (std::int64_t c = 0; c < x.dim(1); ++c) {
          for (std::int64_t o = 0; o < group_out; ++o) {
            y.real[(n * outputs + c / group_in * group_out + o) * pixels + position(out, at)] +=
                x.real[(n * x.dim(1) + c) * in_pixels + p] * w.real[(c * group_out + o) * taps + t];
          }
        }
      }
    }
  }
  for (std::size_t i = 0; i < y.real.size(); ++i) {
    const double b = bias ? bias->real[static_cast<std::int64_t>(i) / pixels % outputs] : 0;
    y.real[i] = activate(op.activation, y.real[i] + b);
  }
  return y;
}

Data run_op(const Pool& op, const Inputs& in) {
  const Data& x = *in[0];
  std::vector<Axis> axes = axes_of(op.window, op.kernel, x.dims);
  slide(axes, op.window.auto_pad, op.ceil_mode);
  const std::vector<std::int64_t> table = tap_table(axes);

  const std::int64_t taps = product(op.kernel), in_pixels = product(x.dims, 2, x.rank()), pixels = product(out_sizes(axes));
  Data y = real_data(image_dims(x.dim(0), x.dim(1), out_sizes(axes)));
  if (op.kind == PoolKind::max_index) y.dtype = DType::int64;
  for (std::int64_t plane = 0; plane < x.dim(0) * x.dim(1); ++plane) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      double sum = 0, powers = 0, largest = -std::numeric_limits<double>::infinity();
      std::int64_t count = 0, place = 0;
      for (std::int64_t t = 0; t < taps; ++t) {
        const std::int64_t source = table[p * taps + t];
        if (source >= 0 || (source == kPadding && op.count_include_pad)) ++count;
        if (source < 0) continue;
        const double value = x.real[plane * in_pixels + source];
        sum += value;
        powers += std::pow(std::abs(value), static_cast<double>(op.order));
        if (value > largest) place = source;
        if (value > largest || std::isnan(value)) largest = value;
      }
      double& result = y.real[plane * pixels + p];
      switch (op.kind) {
        case PoolKind::max: result = largest; break;
        case PoolKind::average: result = count > 0 ? sum / static_cast<double>(count) : 0; break;
        case PoolKind::lp: result = std::pow(powers, 1 / static_cast<double>(op.order)); break;
        case PoolKind::max_index: {
          Ints index = index_of(in_sizes(axes), place);
          Dims sizes = in_sizes(axes);
          if (op.column_major) {
            std::reverse(index.begin(), index.end());
            std::reverse(sizes.begin(), sizes.end());
          }
          y.ints.push_back(plane * in_pixels + position(sizes, index));
        }
      }
    }
  }
  if (op.kind == PoolKind::max_index) y.real.clear();
  return y;
}

Data run_op(const ConvInteger& op, const Inputs& in) {
  const auto shifted = [&](int i, int zero_slot) {
    Data x = *in[static_cast<std::size_t>(i)];
    x.dtype = DType::float32;
    const Data* zero = input(in, zero_slot);
    const std::int64_t per_channel = product(x.dims, 1, x.rank());
    for (std::size_t e = 0; e < x.ints.size(); ++e) {
      const std::int64_t z = !zero ? 0 : zero->ints[zero->ints.size() == 1 ? 0 : static_cast<std::int64_t>(e) / per_channel];
      x.real.push_back(static_cast<double>(x.ints[e] - z));
    }
    return x;
  };
  const Data x = shifted(ConvInteger::kInput, ConvInteger::kInputZero), w = shifted(ConvInteger::kWeight, ConvInteger::kWeightZero);
  Conv conv;
  conv.window = op.window;
  conv.groups = op.groups;
  Data y = run_op(conv, {&x, &w});
  y.dtype = DType::int32;
  for (const double value : y.real) y.ints.push_back(static_cast<std::int64_t>(value));
  y.real.clear();
  return y;
}

}  // namespace konv::test
