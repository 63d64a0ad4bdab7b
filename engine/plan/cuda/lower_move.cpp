// Data movement: strided copies between images; reshapes are views where the memory is the same.
#include <algorithm>

#include "engine/plan/cuda/lower.h"
#include "kernels/cuda/params.h"

namespace konv::plan {
namespace {

/// A copy into the node's output; what the pieces leave, pad lanes too, holds `fill`.
void add_copy(CudaBuilder& b, NodeId id, std::vector<Piece> pieces, std::vector<int> inputs, int output, double fill = 0) {
  CopyStep work;
  work.shape.element_bytes = b.element_bytes();
  for (const Piece& piece : pieces) work.shape.count += element_count(piece.dims);
  for (const Piece& piece : pieces) {
    if (std::ssize(piece.dims) > cuda::kMaxWalk) throw NoKernel{"more dimensions than the copy walks"};
  }
  std::erase_if(pieces, [](const Piece& piece) { return element_count(piece.dims) == 0; });
  const Value& out = b.value(output);
  const bool pad_lanes = image_sizes(out.dims).c != out.layout.padded_channels;
  if (pad_lanes && fill != 0) throw NoKernel{"fills with another value than zero, and the channels are no whole chunks"};
  work.fill_first = pad_lanes || work.shape.count < element_count(out.dims);
  work.fill = fill;
  work.pieces = std::move(pieces);
  const double cost = b.traffic(inputs) + b.traffic({output});
  b.add(id, std::move(work), b.target.precision == cuda::Precision::float16 ? "copy_f16" : "copy_f32", std::move(inputs), output, cost);
}

/// Row-major order kept under other dimensions: a view where both lie alike, else a copy of the common refinement of both shapes.
void reshape(CudaBuilder& b, NodeId id) {
  const Node& node = b.graph.node(id);
  const int from = b.image(node.input(0));
  const Dims &in = b.dims(node.input(0)), &out = b.dims(node.output());
  const ImageSizes a = image_sizes(in), c = image_sizes(out);
  if (a.n == c.n && a.c == c.c && a.pixels() == c.pixels() && out.size() <= 4 && b.value(from).storage != Storage::constant)
    return b.alias(node.output(), from);
  const int to = b.define(node.output());
  const Ints &from_strides = b.value(from).strides, &to_strides = b.value(to).strides;
  Piece piece;
  std::size_t i = 0, j = 0;
  std::int64_t rest_in = in.empty() ? 1 : in[0], rest_out = out.empty() ? 1 : out[0];
  while (i < in.size() && j < out.size()) {
    const std::int64_t size = std::min(rest_in, rest_out);
    if (size == 0 || rest_in % size != 0 || rest_out % size != 0) throw NoKernel{"reshapes into sizes that share no dimensions"};
    rest_in /= size;
    rest_out /= size;
    if (size > 1) {
      piece.dims.push_back(size);
      piece.in_strides.push_back(from_strides[i] * rest_in);
      piece.out_strides.push_back(to_strides[j] * rest_out);
    }
    if (rest_in == 1 && ++i < in.size()) rest_in = in[i];
    if (rest_out == 1 && ++j < out.size()) rest_out = out[j];
  }
  add_copy(b, id, {piece}, {from}, to);
}

}  // namespace

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node&, const Flatten&) { reshape(b, id); }
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node&, const Reshape&) { reshape(b, id); }
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node&, const Squeeze&) { reshape(b, id); }
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node&, const Unsqueeze&) { reshape(b, id); }
void lower_for_cuda(CudaBuilder& b, NodeId id, const Node&, const Identity&) { reshape(b, id); }

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Concat& op) {
  const Dims& out = b.dims(node.output());
  const auto axis = static_cast<std::size_t>(normalize_axis(node.name, op.axis, std::ssize(out)));
  std::vector<int> inputs;
  for (ValueId part : node.inputs) inputs.push_back(b.image(part, out.size()));
  const int output = b.define(node.output());
  std::vector<Piece> pieces;
  std::int64_t index = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Value& part = b.value(inputs[i]);
    pieces.push_back({.input = static_cast<int>(i),
                      .dims = part.dims,
                      .in_strides = part.strides,
                      .out_strides = b.value(output).strides,
                      .out_start = index * b.value(output).strides[axis]});
    index += part.dims[axis];
  }
  add_copy(b, id, std::move(pieces), std::move(inputs), output);
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Slice&) {
  const auto list = [&](int i) { return node.input(i) ? b.ints(node.input(i)) : Ints{}; };
  const SliceGeometry g = slice_geometry(node.name, b.dims(node.input(Slice::kInput)), list(Slice::kStarts), list(Slice::kEnds),
                                         list(Slice::kAxes), list(Slice::kSteps));
  const int input = b.image(node.input(Slice::kInput)), output = b.define(node.output());
  Piece piece{.dims = g.count, .in_strides = b.value(input).strides, .out_strides = b.value(output).strides};
  for (std::size_t i = 0; i < g.count.size(); ++i) {
    piece.in_start += g.first[i] * piece.in_strides[i];
    piece.in_strides[i] *= g.step[i];
  }
  add_copy(b, id, {piece}, {input}, output);
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Pad& op) {
  if (op.mode != PadMode::constant) throw NoKernel{"pads by what is there"};
  const Dims& in = b.dims(node.input(Pad::kInput));
  const Tensor* value = b.graph.constant(node.input(Pad::kValue));
  if (node.input(Pad::kValue) && !value) throw NoKernel{"the padding's value is no constant"};
  const double fill = value ? static_cast<double>(to_f32(*value).at(0)) : static_cast<double>(op.value);
  const Ints given = b.ints(node.input(Pad::kPads));
  Ints pads = given;  // all begins then all ends
  if (node.input(Pad::kAxes)) {
    const Ints axes = b.ints(node.input(Pad::kAxes));
    pads.assign(2 * in.size(), 0);
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const auto axis = static_cast<std::size_t>(normalize_axis(node.name, axes[i], std::ssize(in)));
      pads[axis] = given[i];
      pads[in.size() + axis] = given[axes.size() + i];
    }
  }
  const int input = b.image(node.input(Pad::kInput)), output = b.define(node.output());
  Piece piece{.dims = in, .in_strides = b.value(input).strides, .out_strides = b.value(output).strides};
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::int64_t before = pads[i], out = b.dims(node.output())[i];
    const std::int64_t first_in = std::max<std::int64_t>(0, -before), first_out = std::max<std::int64_t>(0, before);
    piece.dims[i] = std::max<std::int64_t>(0, std::min(in[i] - first_in, out - first_out));
    piece.in_start += first_in * piece.in_strides[i];
    piece.out_start += first_out * piece.out_strides[i];
  }
  add_copy(b, id, {piece}, {input}, output, fill);
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Transpose& op) {
  const Dims& out = b.dims(node.output());
  Ints order = op.permutation;
  for (std::int64_t i = std::ssize(out); order.size() < out.size();) order.push_back(--i);
  const int input = b.image(node.input(0)), output = b.define(node.output());
  Piece piece{.dims = out, .in_strides = {}, .out_strides = b.value(output).strides};
  for (std::int64_t from : order) piece.in_strides.push_back(b.value(input).strides[static_cast<std::size_t>(from)]);
  add_copy(b, id, {piece}, {input}, output);
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Expand&) {
  const Dims& out = b.dims(node.output());
  const int input = b.image(node.input(Expand::kInput), out.size()), output = b.define(node.output());
  const Value& from = b.value(input);
  Piece piece{.dims = out, .in_strides = Ints(out.size(), 0), .out_strides = b.value(output).strides};
  const std::size_t missing = out.size() - from.dims.size();
  for (std::size_t i = 0; i < from.dims.size(); ++i) {
    if (from.dims[i] != 1) piece.in_strides[missing + i] = from.strides[i];
  }
  add_copy(b, id, {piece}, {input}, output);
}

namespace {

template <class Op>
concept HasKernel = requires(CudaBuilder& b, NodeId id, const Node& node, const Op& op) {
  lower_for_cuda(b, id, node, op);
};

}  // namespace

void lower_for_cuda(CudaBuilder& b, NodeId id) {
  const Node& node = b.graph.node(id);
  std::visit(
      [&](const auto& op) {
        if constexpr (HasKernel<std::remove_cvref_t<decltype(op)>>) {
          lower_for_cuda(b, id, node, op);
        } else {
          throw NoKernel{"no kernel for this operator"};
        }
      },
      node.op);
}

}  // namespace konv::plan
