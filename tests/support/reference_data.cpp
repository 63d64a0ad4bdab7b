// The reference runner's data movement: every operator here says, for each element of its output, which element of its input that is.
#include <algorithm>
#include <cmath>
#include <konv/error.hpp>

#include "tests/support/reference_ops.h"

namespace konv::test {

namespace {

constexpr std::int64_t kFill = -1;

/// A tensor of shape `dims` whose element at `index` is x's element number source(index), or the fill.
template <class Source>
Data take(const Data& x, Dims dims, Source source, double fill = 0) {
  Data y{x.dtype, std::move(dims), {}, {}};
  for (std::int64_t i = 0; i < product(y.dims); ++i) {
    const std::int64_t from = source(index_of(y.dims, i));
    if (y.floating()) {
      y.real.push_back(from == kFill ? fill : x.real[from]);
    } else {
      y.ints.push_back(from == kFill ? static_cast<std::int64_t>(fill) : x.ints[from]);
    }
  }
  return y;
}

Data reshaped(const Data& x, Dims dims) {
  if (product(dims) != product(x.dims)) throw Error("reference: " + to_string(x.dims) + " reshaped to " + to_string(dims));
  Data y = x;
  y.dims = std::move(dims);
  return y;
}

}  // namespace

Data run_op(const Concat& op, const Inputs& in) {
  const std::int64_t axis = from_front(op.axis, in[0]->rank());
  Dims dims = in[0]->dims;
  dims[axis] = 0;
  for (const Data* x : in) dims[axis] += x->dim(axis);
  Data y{in[0]->dtype, dims, {}, {}};
  for (std::int64_t i = 0; i < product(dims); ++i) {
    Ints index = index_of(dims, i);
    std::size_t part = 0;
    for (; index[axis] >= in[part]->dim(axis); ++part) index[axis] -= in[part]->dim(axis);
    const std::int64_t from = position(in[part]->dims, index);
    if (y.floating()) {
      y.real.push_back(in[part]->real[from]);
    } else {
      y.ints.push_back(in[part]->ints[from]);
    }
  }
  return y;
}

Data run_op(const Pad& op, const Inputs& in) {
  const Data& x = *in[Pad::kInput];
  const std::size_t rank = x.dims.size();
  std::vector<std::int64_t> pads = in[Pad::kPads]->ints;
  if (const Data* axes = input(in, Pad::kAxes)) {
    std::vector<std::int64_t> all(2 * rank, 0);
    for (std::size_t i = 0; i < axes->ints.size(); ++i) {
      const std::int64_t axis = from_front(axes->ints[i], x.rank());
      all[axis] = pads[i];
      all[axis + rank] = pads[i + axes->ints.size()];
    }
    pads = all;
  }
  const Data* value = input(in, Pad::kValue);
  Dims dims = x.dims;
  for (std::size_t i = 0; i < rank; ++i) dims[i] += pads[i] + pads[rank + i];
  const auto source = [&](Ints index) {
    for (std::size_t i = 0; i < rank; ++i) {
      std::int64_t& at = index[i];
      const std::int64_t last = x.dims[i] - 1;
      at -= pads[i];
      if (at >= 0 && at <= last) continue;
      if (op.mode == PadMode::constant) return kFill;
      if (op.mode == PadMode::wrap) at = (at % x.dims[i] + x.dims[i]) % x.dims[i];
      if (op.mode == PadMode::edge) at = std::clamp<std::int64_t>(at, 0, last);
      while (at < 0 || at > last) {  // reflect, from wall to wall
        if (last == 0) at = 0;
        if (at < 0) at = -at;
        if (at > last) at = 2 * last - at;
      }
    }
    return position(x.dims, index);
  };
  const double given = !value ? 0 : value->floating() ? value->real[0] : static_cast<double>(value->ints[0]);
  return take(x, dims, source, value ? given : static_cast<double>(op.value));
}

Data run_op(const Slice&, const Inputs& in) {
  const Data& x = *in[Slice::kInput];
  const auto &starts = in[Slice::kStarts]->ints, &ends = in[Slice::kEnds]->ints;
  Dims dims = x.dims, first(dims.size(), 0), step(dims.size(), 1);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const Data *axes = input(in, Slice::kAxes), *steps = input(in, Slice::kSteps);
    const std::int64_t axis = axes ? from_front(axes->ints[i], x.rank()) : static_cast<std::int64_t>(i);
    const std::int64_t size = x.dim(axis), by = steps ? steps->ints[i] : 1;
    const std::int64_t low = by > 0 ? 0 : -1, high = by > 0 ? size : size - 1;  // a falling slice may end before 0
    const std::int64_t from =
        std::clamp<std::int64_t>(starts[i] < 0 ? starts[i] + size : starts[i], by > 0 ? 0 : std::min<std::int64_t>(0, high), high);
    const std::int64_t to = std::clamp<std::int64_t>(ends[i] < 0 ? ends[i] + size : ends[i], low, high);
    first[axis] = from;
    step[axis] = by;
    dims[axis] = std::max<std::int64_t>(0, by > 0 ? (to - from + by - 1) / by : (from - to - by - 1) / -by);
  }
  const auto source = [&](Ints index) {
    for (std::size_t i = 0; i < index.size(); ++i) index[i] = first[i] + index[i] * step[i];
    return position(x.dims, index);
  };
  return take(x, dims, source);
}

Data run_op(const Flatten& op, const Inputs& in) {
  const std::int64_t rank = in[0]->rank(), axis = from_front(op.axis, rank);
  return reshaped(*in[0], {product(in[0]->dims, 0, axis), product(in[0]->dims, axis, rank)});
}

Data run_op(const Reshape& op, const Inputs& in) {
  const Data& x = *in[Reshape::kInput];
  Dims dims = in[Reshape::kShape]->ints;
  std::int64_t rest = product(x.dims), open = -1;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0 && !op.allow_zero) dims[i] = x.dims[i];
    if (dims[i] == -1) open = static_cast<std::int64_t>(i);
    if (dims[i] > 0) rest /= dims[i];
  }
  if (open >= 0) dims[open] = rest;
  return reshaped(x, dims);
}

Data run_op(const Transpose& op, const Inputs& in) {
  const Data& x = *in[0];
  const std::size_t rank = x.dims.size();
  Ints permutation = op.permutation;
  if (permutation.empty()) {
    for (std::size_t i = rank; i-- > 0;) permutation.push_back(static_cast<std::int64_t>(i));
  }
  Dims dims;
  for (const std::int64_t axis : permutation) dims.push_back(x.dim(axis));
  const auto source = [&](const Ints& index) {
    Ints from(rank);
    for (std::size_t i = 0; i < rank; ++i) from[permutation[i]] = index[i];
    return position(x.dims, from);
  };
  return take(x, dims, source);
}

Data run_op(const Squeeze& op, const Inputs& in) {
  const Data& x = *in[0];
  const Ints axes = input(in, Squeeze::kAxes) ? in[Squeeze::kAxes]->ints : op.axes;
  Dims dims;
  for (std::int64_t i = 0; i < x.rank(); ++i) {
    const bool listed = std::any_of(axes.begin(), axes.end(), [&](std::int64_t axis) { return from_front(axis, x.rank()) == i; });
    if (axes.empty() ? x.dim(i) != 1 : !listed) dims.push_back(x.dim(i));
  }
  return reshaped(x, dims);
}

Data run_op(const Unsqueeze& op, const Inputs& in) {
  const Ints axes = input(in, Unsqueeze::kAxes) ? in[Unsqueeze::kAxes]->ints : op.axes;
  const std::int64_t rank = in[0]->rank() + static_cast<std::int64_t>(axes.size());
  std::vector<bool> inserted(rank);
  for (const std::int64_t axis : axes) inserted[from_front(axis, rank)] = true;
  Dims dims;
  std::size_t next = 0;
  for (std::int64_t i = 0; i < rank; ++i) dims.push_back(inserted[i] ? 1 : in[0]->dims[next++]);
  return reshaped(*in[0], dims);
}

Data run_op(const Identity&, const Inputs& in) { return *in[0]; }

Data run_op(const ShapeOf& op, const Inputs& in) {
  const Data& x = *in[0];
  const auto clamped = [&](std::int64_t axis) { return std::clamp<std::int64_t>(from_front(axis, x.rank()), 0, x.rank()); };
  Data y{DType::int64, {}, {}, {}};
  for (std::int64_t i = clamped(op.start); i < clamped(op.end); ++i) y.ints.push_back(x.dim(i));
  y.dims = {static_cast<std::int64_t>(y.ints.size())};
  return y;
}

Data run_op(const Gather& op, const Inputs& in) {
  const Data &x = *in[Gather::kInput], &indices = *in[Gather::kIndices];
  const std::int64_t axis = from_front(op.axis, x.rank());
  Dims dims(x.dims.begin(), x.dims.begin() + axis);
  dims.insert(dims.end(), indices.dims.begin(), indices.dims.end());
  dims.insert(dims.end(), x.dims.begin() + axis + 1, x.dims.end());
  const auto source = [&](const Ints& index) {
    const auto middle = index.begin() + axis;
    const std::int64_t chosen = indices.ints[position(indices.dims, Ints(middle, middle + indices.rank()))];
    Ints from(index.begin(), middle);
    from.push_back(std::clamp<std::int64_t>(from_front(chosen, x.dim(axis)), 0, x.dim(axis) - 1));
    from.insert(from.end(), middle + indices.rank(), index.end());
    return position(x.dims, from);
  };
  return take(x, dims, source);
}

Data run_op(const ConstantOfShape& op, const Inputs& in) {
  Data y{op.dtype, in[0]->ints, {}, {}};
  const auto count = static_cast<std::size_t>(product(y.dims));
  if (y.floating()) {
    y.real.assign(count, op.value);
  } else {
    y.ints.assign(count, static_cast<std::int64_t>(op.value));
  }
  return y;
}

Data run_op(const Expand&, const Inputs& in) {
  const Data& x = *in[Expand::kInput];
  return take(x, broadcast_dims(x.dims, in[Expand::kShape]->ints), [&](const Ints& index) { return broadcast_position(x.dims, index); });
}

Data run_op(const Tile&, const Inputs& in) {
  const Data& x = *in[Tile::kInput];
  Dims dims = x.dims;
  for (std::size_t i = 0; i < dims.size(); ++i) dims[i] *= in[Tile::kRepeats]->ints[i];
  return take(x, dims, [&](Ints index) {
    for (std::size_t i = 0; i < index.size(); ++i) index[i] %= x.dims[i];
    return position(x.dims, index);
  });
}

Data run_op(const DepthToSpace& op, const Inputs& in) {
  const Data& x = *in[0];
  const std::int64_t b = op.block, channels = x.dim(1) / b / b;
  return take(x, {x.dim(0), channels, x.dim(2) * b, x.dim(3) * b}, [&](const Ints& i) {
    const std::int64_t part = i[2] % b * b + i[3] % b;
    const std::int64_t c = op.order == DepthOrder::dcr ? part * channels + i[1] : i[1] * b * b + part;
    return position(x.dims, {i[0], c, i[2] / b, i[3] / b});
  });
}

Data run_op(const SpaceToDepth& op, const Inputs& in) {
  const Data& x = *in[0];
  const std::int64_t b = op.block, channels = x.dim(1);
  return take(x, {x.dim(0), channels * b * b, x.dim(2) / b, x.dim(3) / b}, [&](const Ints& i) {
    const std::int64_t part = op.order == DepthOrder::dcr ? i[1] / channels : i[1] % (b * b);
    const std::int64_t c = op.order == DepthOrder::dcr ? i[1] % channels : i[1] / (b * b);
    return position(x.dims, {i[0], c, i[2] * b + part / b, i[3] * b + part % b});
  });
}

Data run_op(const Arange&, const Inputs& in) {
  const Data &start = *in[Arange::kStart], &limit = *in[Arange::kLimit], &delta = *in[Arange::kDelta];
  Data y{start.dtype, {}, {}, {}};
  if (y.floating()) {
    const double step = delta.real[0];
    for (double x = start.real[0]; step > 0 ? x < limit.real[0] : x > limit.real[0]; x += step) y.real.push_back(x);
  } else {
    const std::int64_t step = delta.ints[0];
    for (std::int64_t x = start.ints[0]; step > 0 ? x < limit.ints[0] : x > limit.ints[0]; x += step) y.ints.push_back(x);
  }
  y.dims = {static_cast<std::int64_t>(std::max(y.real.size(), y.ints.size()))};
  return y;
}

// Nearest and linear by scales, pixels as areas (half_pixel) or as points (asymmetric): what networks upsample with. The package of ONNX checks the rest.
Data run_op(const Resize& op, const Inputs& in) {
  const Data& x = *in[Resize::kInput];
  const Data* scales = input(in, Resize::kScales);
  const bool half = op.coordinates == ResizeCoordinates::half_pixel;
  const bool known = scales && op.axes.empty() && op.mode != ResizeMode::cubic && !op.antialias && !op.exclude_outside &&
                     (half || op.coordinates == ResizeCoordinates::asymmetric) &&
                     (op.mode == ResizeMode::linear || op.rounding == ResizeRounding::floor);
  if (!known) throw Error("reference: a Resize it has no definition of");
  Dims dims = x.dims;
  for (std::size_t i = 0; i < dims.size(); ++i)
    dims[i] = static_cast<std::int64_t>(std::floor(static_cast<double>(dims[i]) * scales->real[i]));
  Data y = real_data(dims);
  for (std::int64_t o = 0; o < product(dims); ++o) {
    const Ints index = index_of(dims, o);
    for (std::int64_t corner = 0; corner < std::int64_t{1} << dims.size(); ++corner) {  // lower or upper neighbour in every dimension
      double weight = 1;
      Ints from(dims.size());
      for (std::size_t i = 0; i < dims.size(); ++i) {
        const double at =
            half ? (static_cast<double>(index[i]) + 0.5) / scales->real[i] - 0.5 : static_cast<double>(index[i]) / scales->real[i];
        const double low = std::floor(at), share = op.mode == ResizeMode::linear ? at - low : 0;
        const bool upper = corner >> i & 1;
        weight *= upper ? share : 1 - share;
        from[i] = std::clamp<std::int64_t>(static_cast<std::int64_t>(low) + upper, 0, x.dims[i] - 1);
      }
      y.real[o] += weight * x.real[position(x.dims, from)];
    }
  }
  return y;
}

}  // namespace konv::test
