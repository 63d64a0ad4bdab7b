// Arithmetic: matrix products, elementwise functions, normalization, reductions.
#include <algorithm>

#include <konv/error.hpp>

#include "engine/graph/weights.h"
#include "engine/plan/lower.h"

namespace konv::plan {

void expect_float32(const Builder& b, const Node& node, ValueId value) {
  if (b.dtype(value) == DType::float32) return;
  throw Error(fmt::format("{}: '{}' is {}; expected float32", describe_node(node), b.graph.value(value).name, name(b.dtype(value))));
}

namespace {

void add_product(Builder& b, NodeId id, const Node& node, const GemmStep& work, std::vector<int> inputs) {
  const ValueId right = node.input(Gemm::kB);
  const auto reject = [&](const GemmKernel& kernel) {
    const char* reason = refuse_unasked(b, node, kernel.name);
    return reason ? reason : refuse_rounding(b, right, kernel.code->b_type, DType::float32);
  };
  const Choice<GemmKernel> choice = choose(gemm_kernels(), work.shape, b.machine, reject, [](const GemmKernel&) { return 0.0; });
  if (!choice.kernel)
    throw Error(fmt::format("{}: no kernel runs it ({}); expected a shape that one takes", describe_node(node), reasons(choice.others)));
  Step& step = b.add(id, work, choice, std::move(inputs), b.define(node.output()), work.shape.macs());
  step.weight_type = choice.kernel->code->b_type;
  const bool as_stored = work.transpose_b && is_bfloat16(b.graph.value(right)) && !b.graph.value(right).kept_rows;
  if (step.weight_type == DType::bfloat16 && !as_stored) step.packed = 2 * work.shape.n * work.shape.k;
}

}  // namespace

void lower(Builder& b, NodeId id, const Node& node, const Gemm& op) {
  expect_float32(b, node, node.input(Gemm::kA));
  expect_float32(b, node, node.input(Gemm::kB));
  const Dims& a = b.dims(node.input(Gemm::kA));
  const Dims& out = b.dims(node.output());
  GemmStep work;
  work.transpose_a = op.transpose_a;
  work.transpose_b = op.transpose_b;
  work.alpha = op.alpha;
  work.beta = op.beta;
  work.activation = op.activation;
  work.shape = {.m = out[0],
                .n = out[1],
                .k = op.transpose_a ? a[0] : a[1],
                .has_c = static_cast<bool>(node.input(Gemm::kC)),
                .k_innermost = !op.transpose_a && op.transpose_b,
                .constant_b = b.graph.constant(node.input(Gemm::kB)) != nullptr && !op.transpose_a};
  std::vector<int> inputs = {b.read(node.input(Gemm::kA), {.dense = true}), b.read(node.input(Gemm::kB), {.dense = true}),
                             b.read(node.input(Gemm::kC), {.dense = true})};
  add_product(b, id, node, work, std::move(inputs));
}

void lower(Builder& b, NodeId id, const Node& node, const MatMul&) {
  expect_float32(b, node, node.input(MatMul::kA));
  expect_float32(b, node, node.input(MatMul::kB));
  const Dims& a = b.dims(node.input(MatMul::kA));
  const Dims& bb = b.dims(node.input(MatMul::kB));
  GemmStep work;
  work.beta = 0;
  work.shape = {.batch = 1, .m = a.size() > 1 ? a[a.size() - 2] : 1, .n = bb.size() > 1 ? bb.back() : 1, .k = a.back()};
  work.shape.constant_b = b.graph.constant(node.input(MatMul::kB)) != nullptr && bb.size() == 2;
  const std::int64_t per_product = work.shape.m * work.shape.n;
  work.shape.batch = per_product ? element_count(b.dims(node.output())) / per_product : 0;
  std::vector<int> inputs = {b.read(node.input(MatMul::kA), {.dense = true}), b.read(node.input(MatMul::kB), {.dense = true}), -1};
  add_product(b, id, node, work, std::move(inputs));
}

void lower(Builder& b, NodeId id, const Node& node, const MatMulInteger&) {
  const Dims &x = b.dims(node.input(MatMulInteger::kA)), &y = b.dims(node.input(MatMulInteger::kB));
  IntegerGemmStep work{{.m = x.size() > 1 ? x[x.size() - 2] : 1,
                        .n = y.size() > 1 ? y.back() : 1,
                        .k = x.back(),
                        .a = b.dtype(node.input(MatMulInteger::kA)),
                        .b = b.dtype(node.input(MatMulInteger::kB))}};
  const std::int64_t per_product = work.shape.m * work.shape.n;
  work.shape.batch = per_product ? element_count(b.dims(node.output())) / per_product : 0;
  std::vector<int> inputs;
  for (int i = MatMulInteger::kA; i <= MatMulInteger::kZeroB; ++i) inputs.push_back(b.read(node.input(i), {.dense = true}));
  const std::int64_t macs = work.shape.batch * per_product * work.shape.k;
  b.add(id, work, integer_gemm_kernels(), std::move(inputs), b.define(node.output()), macs);
}

void lower(Builder& b, NodeId id, const Node& node, const BatchNorm& op) {
  expect_float32(b, node, node.input(BatchNorm::kInput));
  const Dims& in = b.dims(node.input(BatchNorm::kInput));
  BatchNormStep work{{.batch = in.at(0),
                      .channels = in.size() > 1 ? in[1] : 1,
                      .pixels = element_count(Dims(in.begin() + std::min<std::ptrdiff_t>(2, std::ssize(in)), in.end()))},
                     op.epsilon};
  std::vector<int> inputs = {b.read(node.input(BatchNorm::kInput))};
  for (int i = BatchNorm::kGamma; i <= BatchNorm::kVariance; ++i) inputs.push_back(b.read(node.input(i), {.dense = true}));
  b.add(id, work, batch_norm_kernels(), std::move(inputs), b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Unary& op) {
  UnaryStep work{{.function = op.function, .count = element_count(b.dims(node.output())), .dtype = b.dtype(node.input(0))}};
  const Need lies = b.lies(node.input(0));
  const int input = b.read(node.input(0), lies);
  b.add(id, work, unary_kernels(), {input}, b.define(node.output(), lies));
}

void lower(Builder& b, NodeId id, const Node& node, const Binary& op) {
  BinaryStep work{
      {.kind = static_cast<Arithmetic>(op.kind), .dtype = b.dtype(node.input(Binary::kA)), .count = element_count(b.dims(node.output()))},
      op.activation};
  // Blocked where an operand of the result's size is; the other one is read as it lies if it has the same blocks, else plain.
  Need lies;
  for (const ValueId operand : {node.input(Binary::kA), node.input(Binary::kB)}) {
    if (b.dims(operand) == b.dims(node.output()) && lies.block == 1) lies = b.lies(operand);
  }
  const auto read = [&](ValueId operand) { return b.read(operand, lies.block > 1 && b.lies(operand).block == lies.block ? lies : Need{}); };
  std::vector<int> inputs = {read(node.input(Binary::kA)), read(node.input(Binary::kB))};
  b.add(id, work, binary_kernels(), std::move(inputs), b.define(node.output(), lies));
}

void lower(Builder& b, NodeId id, const Node& node, const Softmax& op) {
  expect_float32(b, node, node.input(0));
  const Dims& in = b.dims(node.input(0));
  const auto axis = in.empty() ? 0 : normalize_axis(node.name, op.axis, std::ssize(in));
  SoftmaxStep work;
  work.shape.log = op.log;
  for (std::int64_t i = 0; i < axis; ++i) work.shape.outer *= in[static_cast<std::size_t>(i)];
  work.shape.size = 1;
  for (std::int64_t i = axis; i < std::ssize(in); ++i)
    (i == axis || op.flatten ? work.shape.size : work.shape.inner) *= in[static_cast<std::size_t>(i)];
  const int input = b.read(node.input(0), {.dense = true});
  b.add(id, work, softmax_kernels(), {input}, b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Where&) {
  SelectStep work{{.count = element_count(b.dims(node.output())), .element_bytes = element_bytes(b, node, node.output())}};
  std::vector<int> inputs;
  for (const ValueId operand : node.inputs) inputs.push_back(b.read(operand));
  b.add(id, work, select_kernels(), std::move(inputs), b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const LayerNorm& op) {
  expect_float32(b, node, node.input(LayerNorm::kInput));
  const Dims& in = b.dims(node.input(LayerNorm::kInput));
  const std::int64_t axis = normalize_axis(node.name, op.axis, std::ssize(in));
  NormalizeStep work{{.rows = element_count(Dims(in.begin(), in.begin() + axis)), .size = element_count(Dims(in.begin() + axis, in.end()))},
                     op.epsilon};
  std::vector<int> inputs;
  for (int i = LayerNorm::kInput; i <= LayerNorm::kBeta; ++i) inputs.push_back(b.read(node.input(i), {.dense = true}));
  b.add(id, work, normalize_kernels(), std::move(inputs), b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const InstanceNorm& op) {
  expect_float32(b, node, node.input(InstanceNorm::kInput));
  const Dims& in = b.dims(node.input(InstanceNorm::kInput));
  NormalizeStep work{{.rows = in[0] * in[1], .size = element_count(Dims(in.begin() + 2, in.end())), .channels = in[1]}, op.epsilon};
  std::vector<int> inputs;
  for (int i = InstanceNorm::kInput; i <= InstanceNorm::kBeta; ++i) inputs.push_back(b.read(node.input(i), {.dense = true}));
  b.add(id, work, normalize_kernels(), std::move(inputs), b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Lrn& op) {
  expect_float32(b, node, node.input(0));
  const Dims& in = b.dims(node.input(0));
  LrnStep work{{.batch = in[0], .channels = in[1], .pixels = element_count(Dims(in.begin() + 2, in.end())), .size = op.size},
               op.alpha,
               op.beta,
               op.bias};
  const int input = b.read(node.input(0), {.dense = true});
  b.add(id, work, lrn_kernels(), {input}, b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const TopK& op) {
  const Dims& in = b.dims(node.input(TopK::kInput));
  const auto axis = normalize_axis(node.name, op.axis, std::ssize(in));
  TopKStep work{{.dtype = b.dtype(node.input(TopK::kInput)),
                 .outer = element_count(Dims(in.begin(), in.begin() + axis)),
                 .size = in[static_cast<std::size_t>(axis)],
                 .inner = element_count(Dims(in.begin() + axis + 1, in.end())),
                 .k = b.dims(node.output())[static_cast<std::size_t>(axis)],
                 .largest = op.largest,
                 .last_first = op.last_first,
                 .indices = op.part == TopKPart::indices}};
  const int input = b.read(node.input(TopK::kInput), {.dense = true});
  b.add(id, work, topk_kernels(), {input}, b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Arange&) {
  RangeStep work{{.count = element_count(b.dims(node.output())), .dtype = b.dtype(node.output())}};
  std::vector<int> inputs = {b.read(node.input(Arange::kStart), {.dense = true}), b.read(node.input(Arange::kDelta), {.dense = true})};
  b.add(id, work, range_kernels(), std::move(inputs), b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Reduce& op) {
  const Dims& in = b.dims(node.input(0));
  const Ints axes = node.input(Reduce::kAxes) ? b.ints(node, node.input(Reduce::kAxes)) : op.axes;
  if (axes.empty() && op.none_is_none) return b.alias(node, id, node.input(0));
  ReduceStep work;
  for (std::int64_t axis : axes) work.axes.push_back(normalize_axis(node.name, axis, std::ssize(in)));
  if (work.axes.empty()) {
    for (std::int64_t i = 0; i < std::ssize(in); ++i) work.axes.push_back(i);
  }
  std::sort(work.axes.begin(), work.axes.end());
  work.shape = {.kind = static_cast<Reduction>(op.kind),
                .outputs = element_count(b.dims(node.output())),
                .reduced = 1,
                .dtype = b.dtype(node.input(0))};
  for (std::int64_t axis : work.axes) work.shape.reduced *= in[static_cast<std::size_t>(axis)];
  const bool keeps_channels = in.size() == 4 && work.axes.front() >= 2;
  const int input = b.read(node.input(0), keeps_channels ? b.lies(node.input(0)) : Need{});
  b.add(id, std::move(work), reduce_kernels(), {input}, b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Cast& op) {
  if (op.to == b.dtype(node.input(0))) return b.alias(node, id, node.input(0));
  CastStep work{{.from = b.dtype(node.input(0)), .to = op.to, .count = element_count(b.dims(node.output()))}};
  const int input = b.read(node.input(0), {.dense = true});
  b.add(id, work, cast_kernels(), {input}, b.define(node.output()));
}

}  // namespace konv::plan
