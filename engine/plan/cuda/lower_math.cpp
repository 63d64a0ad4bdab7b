// Pooling, elementwise arithmetic, reductions, softmax.
#include <algorithm>

#include "engine/plan/cuda/lower.h"

namespace konv::plan {
namespace {

/// "pool_max_f16": kernels are named by what they store.
const char* pick(const CudaBuilder& b, const char* float32, const char* float16) {
  return b.target.precision == cuda::Precision::float16 ? float16 : float32;
}

}  // namespace

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Pool& op) {
  if (op.kind != PoolKind::max && op.kind != PoolKind::average) throw NoKernel{"neither the maximum nor the average"};
  if (b.dims(node.input(0)).size() > 4) throw NoKernel{"3 spatial dimensions"};
  const ImageSizes in = image_sizes(b.dims(node.input(0))), out = image_sizes(b.dims(node.output()));
  const Dims& d = b.dims(node.input(0));
  const WindowGeometry g = window_geometry(node.name, op.window, op.kernel, to_shape(Dims(d.begin() + 2, d.end())), op.ceil_mode);
  const std::size_t last = g.kernel.size() - 1;
  const auto vertical = [&](const Ints& list, std::int64_t otherwise) { return last == 0 ? otherwise : list[0]; };
  const PoolStep work{{.average = op.kind == PoolKind::average,
                       .count_include_pad = op.count_include_pad,
                       .batch = in.n,
                       .channels = in.c,
                       .in_h = in.h,
                       .in_w = in.w,
                       .out_h = out.h,
                       .out_w = out.w,
                       .kernel_h = vertical(g.kernel, 1),
                       .kernel_w = g.kernel[last],
                       .stride_h = vertical(g.strides, 1),
                       .stride_w = g.strides[last],
                       .dilation_h = vertical(g.dilations, 1),
                       .dilation_w = g.dilations[last],
                       .pad_top = vertical(g.pads_begin, 0),
                       .pad_left = g.pads_begin[last],
                       .pad_bottom = vertical(g.pads_end, 0),
                       .pad_right = g.pads_end[last]}};
  const int input = b.image(node.input(0)), output = b.define(node.output());
  const char* kernel =
      op.kind == PoolKind::average ? pick(b, "pool_average_f32", "pool_average_f16") : pick(b, "pool_max_f32", "pool_max_f16");
  b.add(id, work, kernel, {input}, output, b.traffic({input, output}));
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const BatchNorm& op) {
  const ImageSizes s = image_sizes(b.dims(node.input(BatchNorm::kInput)));
  std::vector<int> inputs = {b.image(node.input(BatchNorm::kInput))};
  for (int i = BatchNorm::kGamma; i <= BatchNorm::kVariance; ++i) inputs.push_back(b.constant(node.input(i)));
  const BatchNormStep work{{.batch = s.n, .channels = s.c, .pixels = s.pixels()}, op.epsilon};
  const int output = b.define(node.output());
  const double cost = b.traffic({inputs[0], output});
  b.add(id, work, pick(b, "affine_f32", "affine_f16"), std::move(inputs), output, cost);
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Unary& op) {
  const UnaryStep work{{.function = op.function, .count = element_count(b.dims(node.output()))}};
  const int input = b.image(node.input(0)), output = b.define(node.output());
  b.add(id, work, pick(b, "affine_f32", "affine_f16"), {input}, output, b.traffic({input, output}));
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Binary& op) {
  if (is_comparison(op.kind)) throw NoKernel{"compares"};
  const BinaryStep work{
      {.kind = static_cast<Arithmetic>(op.kind), .dtype = b.dtype(node.output()), .count = element_count(b.dims(node.output()))},
      op.activation};
  const ValueId a = node.input(Binary::kA), c = node.input(Binary::kB);
  const std::size_t rank = b.dims(node.output()).size();
  std::vector<int> inputs = {b.image(a, rank), b.image(c, rank)};
  const int output = b.define(node.output());
  const double cost = b.traffic({inputs[0], inputs[1], output});
  // Whole chunks where nothing is repeated; element by element otherwise.
  const bool whole = op.kind == BinaryKind::add && b.dims(a) == b.dims(c) && b.dims(a) == b.dims(node.output());
  b.add(id, work, whole ? pick(b, "affine_f32", "affine_f16") : pick(b, "binary_f32", "binary_f16"), std::move(inputs), output, cost);
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Softmax& op) {
  const Dims& d = b.dims(node.input(0));
  const ImageSizes s = image_sizes(d);
  const std::int64_t axis = d.empty() ? 0 : normalize_axis(node.name, op.axis, std::ssize(d));
  const bool over_channels = d.size() >= 2 && axis == 1 && (!op.flatten || s.pixels() == 1);
  if (op.log) throw NoKernel{"the logarithm of softmax"};
  if (!over_channels) throw NoKernel{"softmax over another axis than the channels"};
  const SoftmaxStep work{{.outer = s.n, .size = s.c, .inner = s.pixels()}};
  const int input = b.image(node.input(0)), output = b.define(node.output());
  b.add(id, work, pick(b, "softmax_f32", "softmax_f16"), {input}, output, b.traffic({input, output}));
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Reduce& op) {
  if (op.kind > ReduceKind::min) throw NoKernel{"neither mean, sum, maximum nor minimum"};
  const Dims& d = b.dims(node.input(0));
  const Ints axes = node.input(Reduce::kAxes) ? b.ints(node.input(Reduce::kAxes)) : op.axes;
  if (axes.empty() && op.none_is_none) throw NoKernel{"reduces nothing"};
  ReduceStep work;
  for (std::int64_t axis : axes) work.axes.push_back(normalize_axis(node.name, axis, std::ssize(d)));
  if (work.axes.empty()) {
    for (std::int64_t i = 0; i < std::ssize(d); ++i) work.axes.push_back(i);
  }
  std::sort(work.axes.begin(), work.axes.end());
  work.shape = {.kind = static_cast<Reduction>(op.kind), .outputs = element_count(b.dims(node.output())), .reduced = 1};
  for (std::int64_t axis : work.axes) work.shape.reduced *= d[static_cast<std::size_t>(axis)];
  const int input = b.image(node.input(0)), output = b.define(node.output());
  b.add(id, std::move(work), pick(b, "reduce_f32", "reduce_f16"), {input}, output, b.traffic({input, output}));
}

}  // namespace konv::plan
