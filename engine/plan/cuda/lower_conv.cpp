// Convolutions and products with a constant matrix, which are convolutions of one pixel per image.
#include <algorithm>

#include "engine/plan/cuda/lower.h"
#include "engine/plan/cuda/weight.h"

namespace konv::plan {
namespace {

/// The cheapest kernel that does not refuse, the conversion of a network input counted in.
Choice<cuda::ConvKernel> choose_conv(const CudaBuilder& b, const std::string& node, cuda::ConvProblem problem, ValueId input) {
  const auto asked = b.target.asked_for.find(node);
  Choice<cuda::ConvKernel> choice;
  double best = 0;
  std::size_t at = 0;
  for (const cuda::ConvKernel& kernel : cuda::conv_kernels()) {
    if (kernel.precision != problem.precision) continue;  // not worth a line in every plan
    Candidate candidate{kernel.name, {}, 0};
    problem.plain_input = b.plain_input(input) >= 0;
    if (asked != b.target.asked_for.end() && asked->second != kernel.name) {
      candidate.refused = "another kernel was asked for";
    } else if (kernel.calls_cublas() && !b.target.no_cublas.empty()) {
      candidate.refused = b.target.no_cublas;
    } else if (const char* reason = kernel.refuse(problem, b.target.gpu)) {
      candidate.refused = reason;
    } else {
      candidate.cost = kernel.cost(problem, b.target.gpu);
      const double total = candidate.cost + (kernel.reads_plain_input() ? 0 : b.convert_seconds(input));
      if (!choice.kernel || total < best) {
        best = total;
        choice.kernel = &kernel;
        choice.cost = candidate.cost;
        at = choice.others.size();
      }
    }
    choice.others.push_back(std::move(candidate));
  }
  if (!choice.kernel) throw NoKernel{reasons(choice.others)};
  choice.others.erase(choice.others.begin() + static_cast<std::ptrdiff_t>(at));
  return choice;
}

template <class W>
void add_conv(CudaBuilder& b, NodeId id, W work, cuda::ConvProblem problem, ValueId input, std::vector<int> rest) {
  const Choice<cuda::ConvKernel> choice = choose_conv(b, b.graph.node(id).name, problem, input);
  problem.plain_input = choice.kernel->reads_plain_input();
  std::vector<int> inputs = {problem.plain_input ? b.plain_input(input) : b.image(input)};
  inputs.insert(inputs.end(), rest.begin(), rest.end());
  Step& step = b.add(id, std::move(work), choice.kernel->name, std::move(inputs), b.define(b.graph.node(id).output()), choice.cost);
  step.candidates = choice.others;
  step.workspace = choice.kernel->algorithm->workspace(problem);
  step.macs = problem.shape.macs();
}

int optional_constant(CudaBuilder& b, ValueId id) { return id ? b.constant(id) : -1; }

}  // namespace

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Conv& op) {
  const ValueId input = node.input(Conv::kInput), weight = node.input(Conv::kWeight);
  if (b.dims(input).size() > 4) throw NoKernel{"3 spatial dimensions"};
  const int weight_value = b.constant(weight);
  const std::vector<float> values = weight_values(b.graph, weight);
  if (values.empty()) throw NoKernel{"the weight is quantized or empty"};
  const Dims weight_dims = dense_weight_dims(b.graph, weight);
  const ImageSizes in = image_sizes(b.dims(input));
  const Dims spatial(b.dims(input).begin() + 2, b.dims(input).end());
  const WindowGeometry g = window_geometry(node.name, op.window, kernel_of(weight_dims), to_shape(spatial));
  const std::size_t last = g.kernel.size() - 1;
  const auto vertical = [&](const Ints& list, std::int64_t otherwise) { return last == 0 ? otherwise : list[0]; };
  ConvStep work;
  work.activation = op.activation;
  work.shape = {.batch = in.n,
                .in_channels = in.c,
                .in_h = in.h,
                .in_w = in.w,
                .out_channels = weight_dims[0],
                .kernel_h = vertical(g.kernel, 1),
                .kernel_w = g.kernel[last],
                .stride_h = vertical(g.strides, 1),
                .stride_w = g.strides[last],
                .dilation_h = vertical(g.dilations, 1),
                .dilation_w = g.dilations[last],
                .pad_top = vertical(g.pads_begin, 0),
                .pad_left = g.pads_begin[last],
                .pad_bottom = vertical(g.pads_end, 0),
                .pad_right = g.pads_end[last],
                .groups = op.groups};
  cuda::ConvProblem problem{.shape = work.shape, .precision = b.target.precision, .activation = op.activation.kind};
  if (op.groups == 1) problem.kept_groups = count_kept_groups(problem, values);
  std::vector<int> rest = {weight_value, optional_constant(b, node.input(Conv::kBias)), b.image(node.input(Conv::kResidual))};
  add_conv(b, id, std::move(work), problem, input, std::move(rest));
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const Gemm& op) {
  if (op.transpose_a) throw NoKernel{"the first operand is transposed"};
  const ValueId a = node.input(Gemm::kA), c = node.input(Gemm::kC);
  const Dims& out = b.dims(node.output());
  if (c && element_count(b.dims(c)) != out[1] && element_count(b.dims(c)) != 1) throw NoKernel{"the addend is no row"};
  GemmStep work;
  work.transpose_b = op.transpose_b;
  work.alpha = op.alpha;
  work.beta = op.beta;
  work.activation = op.activation;
  work.shape = {.m = out[0], .n = out[1], .k = b.dims(a)[1], .has_c = static_cast<bool>(c)};
  const cuda::ConvProblem problem{.shape = product_shape(work.shape), .precision = b.target.precision, .activation = op.activation.kind};
  std::vector<int> rest = {b.constant(node.input(Gemm::kB)), optional_constant(b, c)};
  if (b.dims(a).size() != 2) throw NoKernel{"the first operand is no matrix"};
  add_conv(b, id, std::move(work), problem, a, std::move(rest));
}

void lower_for_cuda(CudaBuilder& b, NodeId id, const Node& node, const MatMul&) {
  const ValueId a = node.input(MatMul::kA), matrix = node.input(MatMul::kB);
  if (b.dims(a).size() != 2 || b.dims(matrix).size() != 2) throw NoKernel{"the operands are no matrices"};
  GemmStep work;
  work.beta = 0;
  work.shape = {.m = b.dims(a)[0], .n = b.dims(matrix)[1], .k = b.dims(a)[1]};
  const cuda::ConvProblem problem{.shape = product_shape(work.shape), .precision = b.target.precision};
  std::vector<int> rest = {b.constant(matrix), -1};
  add_conv(b, id, std::move(work), problem, a, std::move(rest));
}

}  // namespace konv::plan
