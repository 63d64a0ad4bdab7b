// Matrix products, elementwise arithmetic, normalization, reductions.
#include <algorithm>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/graph/infer_node.h"

namespace konv {
namespace {

/// The size that both sides of a broadcast agree on; nothing when they do not.
std::optional<Dim> broadcast(const Dim& a, const Dim& b) {
  if (a.known() && a.value() == 1) return b;
  if (b.known() && b.value() == 1) return a;
  if (a.known() && b.known()) return a.same_as(b) ? std::optional(a) : std::nullopt;
  if (a.known()) return a;
  if (b.known()) return b;
  return a.same_as(b) ? a : Dim();
}

Dim arithmetic(BinaryKind kind, const Dim& a, const Dim& b) {
  switch (kind) {
    case BinaryKind::add: return a + b;
    case BinaryKind::sub: return a - b;
    case BinaryKind::mul: return a * b;
    case BinaryKind::div: return a / b;
  }
  return {};
}

/// Shape arithmetic: integers of the same number of elements, or one against many.
std::optional<std::vector<Dim>> arithmetic(BinaryKind kind, const NodeFacts& node) {
  const std::vector<Dim>*a = node.ints(Binary::kA), *b = node.ints(Binary::kB);
  if (!a || !b || (a->size() != b->size() && a->size() != 1 && b->size() != 1)) return {};
  std::vector<Dim> result;
  const std::size_t count = a->size() == 1 ? b->size() : a->size();
  for (std::size_t i = 0; i < count; ++i) {
    const Dim &left = (*a)[a->size() == 1 ? 0 : i], &right = (*b)[b->size() == 1 ? 0 : i];
    if (kind == BinaryKind::div && right.known() && right.value() == 0) node.fail("division by zero", "another divisor");
    result.push_back(arithmetic(kind, left, right));
  }
  return result;
}

/// Parameters of one number per channel.
void expect_channels(const NodeFacts& node, int slot, const char* what, const Dim& channels) {
  const Shape* shape = node.shape(slot);
  if (shape && (shape->size() != 1 || !agreed((*shape)[0], channels))) {
    node.fail(fmt::format("{} is {}", what, to_string(*shape)),
              fmt::format("one number for each of {} channels", to_string(Shape{channels})));
  }
}

void expect_inner(const NodeFacts& node, const Shape& a, const Shape& b, const Dim& left, const Dim& right) {
  if (!agreed(left, right)) {
    node.fail(fmt::format("{} by {}: inner sizes are {} and {}", to_string(a), to_string(b), left.value(), right.value()), "equal ones");
  }
}

}  // namespace

Shape broadcast(const std::string& node, const Shape& a, const Shape& b) {
  const Shape &longer = a.size() >= b.size() ? a : b, &shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  const std::size_t ahead = longer.size() - shorter.size();
  for (std::size_t i = 0; i < shorter.size(); ++i) {
    const std::optional<Dim> size = broadcast(longer[ahead + i], shorter[i]);
    if (!size) throw Error(fmt::format("{}: shapes {} and {}; expected equal sizes, or ones", node, to_string(a), to_string(b)));
    result[ahead + i] = *size;
  }
  return result;
}

Fact infer_op(const Gemm& op, const NodeFacts& node) {
  node.expect_floats();
  node.expect_rank(Gemm::kA, "A", 2);
  node.expect_rank(Gemm::kB, "B", 2);
  const Shape *a = node.shape(Gemm::kA), *b = node.shape(Gemm::kB);
  if (!a || !b) return like_input(node, Shape(2));
  const std::size_t ta = op.transpose_a, tb = op.transpose_b;
  expect_inner(node, *a, *b, (*a)[1 - ta], (*b)[tb]);
  const Shape output{(*a)[ta], (*b)[1 - tb]};
  if (const Shape* c = node.has(Gemm::kC) ? node.shape(Gemm::kC) : nullptr) {
    const auto refuse = [&] { node.fail("C is " + to_string(*c), "a shape that broadcasts to " + to_string(output)); };
    if (c->size() > 2) refuse();
    for (std::size_t i = 0; i < c->size(); ++i) {
      const Dim &size = (*c)[c->size() - 1 - i], &full = output[1 - i];
      if (size.known() && size.value() != 1 && !agreed(size, full)) refuse();
    }
  }
  return like_input(node, output);
}

Fact infer_op(const MatMul&, const NodeFacts& node) {
  node.expect_floats();
  const Shape *left = node.shape(MatMul::kA), *right = node.shape(MatMul::kB);
  if (!left || !right) return like_input(node, {});
  if (left->empty() || right->empty()) node.fail("an operand is a scalar", "operands with dimensions");
  Shape a = *left, b = *right;
  if (left->size() == 1) a.insert(a.begin(), Dim(1));
  if (right->size() == 1) b.emplace_back(1);
  expect_inner(node, *left, *right, a.back(), b[b.size() - 2]);
  Shape output = broadcast(node.who(), Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2));
  if (left->size() > 1) output.push_back(a[a.size() - 2]);
  if (right->size() > 1) output.push_back(b.back());
  return like_input(node, output);
}

Fact infer_op(const BatchNorm&, const NodeFacts& node) {
  node.expect_floats();
  const Shape* input = node.shape(BatchNorm::kInput);
  if (!input) return like_input(node, {});
  if (input->size() < 2) node.fail("input is " + to_string(*input), "batch and channels");
  expect_channels(node, BatchNorm::kGamma, "gamma", (*input)[1]);
  expect_channels(node, BatchNorm::kBeta, "beta", (*input)[1]);
  expect_channels(node, BatchNorm::kMean, "mean", (*input)[1]);
  expect_channels(node, BatchNorm::kVariance, "variance", (*input)[1]);
  return like_input(node, *input);
}

Fact infer_op(const Unary&, const NodeFacts& node) {
  node.expect_floats();
  return like_input(node, node.in(0).shape);
}

Fact infer_op(const Binary& op, const NodeFacts& node) {
  const DType a = node.real_type(Binary::kA), b = node.real_type(Binary::kB);
  if (a == DType::boolean || a != b) node.fail(fmt::format("{} and {}", name(a), name(b)), "two operands of one numeric type");
  if (!is_float(a) && op.activation.kind != ActivationKind::none) node.fail("activation of integers", "floats");
  const Shape *left = node.shape(Binary::kA), *right = node.shape(Binary::kB);
  if (!left || !right) return like_input(node, {});
  Fact fact = like_input(node, broadcast(node.who(), *left, *right));
  if (!is_float(a) && fact.shape->size() <= 1) fact.ints = arithmetic(op.kind, node);
  return fact;
}

Fact infer_op(const Softmax& op, const NodeFacts& node) {
  node.expect_floats();
  if (const Shape* input = node.shape(0)) normalize_axis(node.who(), op.axis, std::ssize(*input));
  return like_input(node, node.in(0).shape);
}

Fact infer_op(const Reduce& op, const NodeFacts& node) {
  if (node.real_type(0) == DType::boolean) node.fail("input is bool", "numbers");
  const Shape* input = node.shape(0);
  if (!input) return like_input(node, {});
  const Ints axes = normalize_axes(node, op.axes, input->size());
  Shape output;
  for (std::size_t i = 0; i < input->size(); ++i) {
    const bool reduced = axes.empty() || std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    if (!reduced) output.push_back((*input)[i]);
    if (reduced && op.keep_dims) output.emplace_back(1);
  }
  return like_input(node, output);
}

}  // namespace konv
