// Arithmetic: matrix products, elementwise functions, normalization, reductions.
#include <algorithm>

#include <konv/error.hpp>

#include "engine/plan/lower.h"

namespace konv::plan {

void expect_float32(const Builder& b, const Node& node, ValueId value) {
  if (b.dtype(value) == DType::float32) return;
  throw Error(fmt::format("{}: '{}' is {}; expected float32", describe_node(node), b.graph.value(value).name, name(b.dtype(value))));
}

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
                .k_innermost = !op.transpose_a && op.transpose_b};
  std::vector<int> inputs = {b.read(node.input(Gemm::kA), {.dense = true}), b.read(node.input(Gemm::kB), {.dense = true}),
                             b.read(node.input(Gemm::kC), {.dense = true})};
  b.add(id, work, gemm_kernels(), std::move(inputs), b.define(node.output()), work.shape.macs());
}

void lower(Builder& b, NodeId id, const Node& node, const MatMul&) {
  expect_float32(b, node, node.input(MatMul::kA));
  expect_float32(b, node, node.input(MatMul::kB));
  const Dims& a = b.dims(node.input(MatMul::kA));
  const Dims& bb = b.dims(node.input(MatMul::kB));
  GemmStep work;
  work.beta = 0;
  work.shape = {.batch = 1, .m = a.size() > 1 ? a[a.size() - 2] : 1, .n = bb.size() > 1 ? bb.back() : 1, .k = a.back()};
  const std::int64_t per_product = work.shape.m * work.shape.n;
  work.shape.batch = per_product ? element_count(b.dims(node.output())) / per_product : 0;
  std::vector<int> inputs = {b.read(node.input(MatMul::kA), {.dense = true}), b.read(node.input(MatMul::kB), {.dense = true}), -1};
  b.add(id, work, gemm_kernels(), std::move(inputs), b.define(node.output()), work.shape.macs());
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
  expect_float32(b, node, node.input(0));
  UnaryStep work{{.function = op.function, .count = element_count(b.dims(node.output()))}};
  const Need lies = b.lies(node.input(0));
  const int input = b.read(node.input(0), lies);
  b.add(id, work, unary_kernels(), {input}, b.define(node.output(), lies));
}

void lower(Builder& b, NodeId id, const Node& node, const Binary& op) {
  BinaryStep work{
      {.kind = static_cast<Arithmetic>(op.kind), .dtype = b.dtype(node.output()), .count = element_count(b.dims(node.output()))},
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
  for (std::int64_t i = 0; i < axis; ++i) work.shape.outer *= in[static_cast<std::size_t>(i)];
  work.shape.size = 1;
  for (std::int64_t i = axis; i < std::ssize(in); ++i)
    (i == axis || op.flatten ? work.shape.size : work.shape.inner) *= in[static_cast<std::size_t>(i)];
  const int input = b.read(node.input(0), {.dense = true});
  b.add(id, work, softmax_kernels(), {input}, b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Reduce& op) {
  expect_float32(b, node, node.input(0));
  const Dims& in = b.dims(node.input(0));
  ReduceStep work;
  for (std::int64_t axis : op.axes) work.axes.push_back(normalize_axis(node.name, axis, std::ssize(in)));
  if (work.axes.empty()) {
    for (std::int64_t i = 0; i < std::ssize(in); ++i) work.axes.push_back(i);
  }
  std::sort(work.axes.begin(), work.axes.end());
  work.shape = {.kind = static_cast<Reduction>(op.kind), .outputs = element_count(b.dims(node.output())), .reduced = 1};
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
