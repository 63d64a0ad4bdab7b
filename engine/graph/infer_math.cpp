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
    case BinaryKind::min: return a.known() && b.known() ? Dim(std::min(a.value(), b.value())) : a.same_as(b) ? a : Dim();
    case BinaryKind::max: return a.known() && b.known() ? Dim(std::max(a.value(), b.value())) : a.same_as(b) ? a : Dim();
    default: return {};
  }
}

double arithmetic(BinaryKind kind, double a, double b) {
  switch (kind) {
    case BinaryKind::add: return a + b;
    case BinaryKind::sub: return a - b;
    case BinaryKind::mul: return a * b;
    case BinaryKind::div: return a / b;
    case BinaryKind::min: return std::min(a, b);
    case BinaryKind::max: return std::max(a, b);
    default: return 0;
  }
}

bool is_arithmetic(BinaryKind kind) { return kind <= BinaryKind::div || kind == BinaryKind::min || kind == BinaryKind::max; }

void expect_divisor(const NodeFacts& node, const Dim& divisor) {
  if (divisor.known() && divisor.value() == 0) node.fail("division by zero", "another divisor");
}
void expect_divisor(const NodeFacts&, double) {}  // gives an infinity

/// Shape arithmetic: as many elements on both sides, or one against many.
template <class T>
std::optional<std::vector<T>> arithmetic(BinaryKind kind, const NodeFacts& node, const std::vector<T>* a, const std::vector<T>* b) {
  if (!is_arithmetic(kind) || !a || !b || (a->size() != b->size() && a->size() != 1 && b->size() != 1)) return {};
  std::vector<T> result;
  const std::size_t count = a->size() == 1 ? b->size() : a->size();
  for (std::size_t i = 0; i < count; ++i) {
    const T &left = (*a)[a->size() == 1 ? 0 : i], &right = (*b)[b->size() == 1 ? 0 : i];
    if (kind == BinaryKind::div) expect_divisor(node, right);
    result.push_back(arithmetic(kind, left, right));
  }
  return result;
}

/// Functions that integers have, too.
bool is_exact(ActivationKind kind) {
  return kind == ActivationKind::none || kind == ActivationKind::relu || kind == ActivationKind::clip || kind == ActivationKind::abs ||
         kind == ActivationKind::neg;
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

namespace {

/// The result of a matrix product; nothing where a rank is unknown.
std::optional<Shape> multiplied(const NodeFacts& node) {
  const Shape *left = node.shape(MatMul::kA), *right = node.shape(MatMul::kB);
  if (!left || !right) return {};
  if (left->empty() || right->empty()) node.fail("an operand is a scalar", "operands with dimensions");
  Shape a = *left, b = *right;
  if (left->size() == 1) a.insert(a.begin(), Dim(1));
  if (right->size() == 1) b.emplace_back(1);
  expect_inner(node, *left, *right, a.back(), b[b.size() - 2]);
  Shape output = broadcast(node.who(), Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2));
  if (left->size() > 1) output.push_back(a[a.size() - 2]);
  if (right->size() > 1) output.push_back(b.back());
  return output;
}

}  // namespace

Fact infer_op(const MatMul&, const NodeFacts& node) {
  node.expect_floats();
  return like_input(node, multiplied(node));
}

Fact infer_op(const MatMulInteger&, const NodeFacts& node) {
  node.expect_bytes(MatMulInteger::kA, MatMulInteger::kZeroA, "A");
  node.expect_bytes(MatMulInteger::kB, MatMulInteger::kZeroB, "B");
  const Shape *a = node.shape(MatMulInteger::kA), *b = node.shape(MatMulInteger::kB);
  if (a) node.expect_one_or(MatMulInteger::kZeroA, "A's zero point", a->size() > 1 ? (*a)[a->size() - 2] : Dim(1));
  if (b) node.expect_one_or(MatMulInteger::kZeroB, "B's zero point", b->size() > 1 ? b->back() : Dim(1));
  return {DType::int32, multiplied(node), {}, {}};
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

Fact infer_op(const Unary& op, const NodeFacts& node) {
  if (node.real_type(0) == DType::boolean) node.fail("input is bool", "numbers");
  if (!is_exact(op.function.kind)) node.expect_floats();
  return like_input(node, node.in(0).shape);
}

Fact infer_op(const Binary& op, const NodeFacts& node) {
  const DType a = node.real_type(Binary::kA), b = node.real_type(Binary::kB);
  const bool compared = is_comparison(op.kind);
  if ((a == DType::boolean && op.kind != BinaryKind::equal) || a != b) {
    node.fail(fmt::format("{} and {}", name(a), name(b)), "two operands of one numeric type");
  }
  if ((!is_float(a) || compared) && op.activation.kind != ActivationKind::none) node.fail("activation of integers", "floats");
  const Shape *left = node.shape(Binary::kA), *right = node.shape(Binary::kB);
  Fact fact = like_input(node, {});
  if (compared) fact.dtype = DType::boolean;
  if (!left || !right) return fact;
  fact.shape = broadcast(node.who(), *left, *right);
  if (fact.shape->size() > 1) return fact;
  fact.ints = arithmetic(op.kind, node, node.ints(Binary::kA), node.ints(Binary::kB));
  if (op.activation.kind == ActivationKind::none) fact.reals = arithmetic(op.kind, node, node.reals(Binary::kA), node.reals(Binary::kB));
  return fact;
}

Fact infer_op(const Where&, const NodeFacts& node) {
  const DType a = node.real_type(Where::kA), b = node.real_type(Where::kB);
  if (node.in(Where::kCondition).dtype != DType::boolean) node.fail(fmt::format("condition is {}", name(node.in(0).dtype)), "bool");
  if (a != b) node.fail(fmt::format("{} and {}", name(a), name(b)), "two operands of one type");
  const Shape *condition = node.shape(Where::kCondition), *left = node.shape(Where::kA), *right = node.shape(Where::kB);
  Fact fact{a, {}, {}, {}};
  if (condition && left && right) fact.shape = broadcast(node.who(), broadcast(node.who(), *condition, *left), *right);
  return fact;
}

Fact infer_op(const LayerNorm& op, const NodeFacts& node) {
  node.expect_floats();
  const Shape* input = node.shape(LayerNorm::kInput);
  if (!input) return like_input(node, {});
  const std::int64_t axis = normalize_axis(node.who(), op.axis, std::ssize(*input));
  const Shape normalized(input->begin() + axis, input->end());
  for (const auto& [slot, what] : {std::pair{LayerNorm::kGamma, "gamma"}, std::pair{LayerNorm::kBeta, "beta"}}) {
    const Shape* shape = node.has(slot) ? node.shape(slot) : nullptr;
    if (!shape) continue;
    bool fits = shape->size() == normalized.size();
    for (std::size_t i = 0; fits && i < normalized.size(); ++i) fits = agreed((*shape)[i], normalized[i]).has_value();
    if (!fits) node.fail(fmt::format("{} is {}", what, to_string(*shape)), to_string(normalized) + ", the dimensions normalized over");
  }
  return like_input(node, *input);
}

Fact infer_op(const InstanceNorm&, const NodeFacts& node) {
  node.expect_floats();
  const Shape* input = node.shape(InstanceNorm::kInput);
  if (!input) return like_input(node, {});
  if (input->size() < 3) node.fail("input is " + to_string(*input), "batch, channels and at least one spatial dimension");
  expect_channels(node, InstanceNorm::kGamma, "gamma", (*input)[1]);
  expect_channels(node, InstanceNorm::kBeta, "beta", (*input)[1]);
  return like_input(node, *input);
}

Fact infer_op(const Lrn&, const NodeFacts& node) {
  node.expect_floats();
  const Shape* input = node.shape(0);
  if (input && input->size() < 2) node.fail("input is " + to_string(*input), "batch and channels");
  return like_input(node, node.in(0).shape);
}

Fact infer_op(const Softmax& op, const NodeFacts& node) {
  node.expect_floats();
  if (const Shape* input = node.shape(0)) normalize_axis(node.who(), op.axis, std::ssize(*input));
  return like_input(node, node.in(0).shape);
}

Fact infer_op(const Reduce& op, const NodeFacts& node) {
  const bool extreme = op.kind == ReduceKind::max || op.kind == ReduceKind::min;
  if (node.real_type(0) == DType::boolean && !extreme) node.fail("input is bool", "numbers");
  const bool real = op.kind == ReduceKind::l2 || op.kind == ReduceKind::log_sum || op.kind == ReduceKind::log_sum_exp;
  if (real && !is_float(node.real_type(0))) node.fail(fmt::format("input is {}", name(node.real_type(0))), "floats");
  const Shape* input = node.shape(Reduce::kInput);
  if (!input) return like_input(node, {});
  const std::optional<Ints> given = node.axes(op.axes, Reduce::kAxes);
  if (!given) return like_input(node, op.keep_dims ? std::optional(Shape(input->size())) : std::nullopt);
  const Ints axes = normalize_axes(node, *given, input->size());
  Shape output;
  for (std::size_t i = 0; i < input->size(); ++i) {
    const bool reduced = axes.empty() ? !op.none_is_none : std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    if (!reduced) output.push_back((*input)[i]);
    if (reduced && op.keep_dims) output.emplace_back(1);
  }
  return like_input(node, output);
}

Fact infer_op(const TopK& op, const NodeFacts& node) {
  node.expect_integers(TopK::kK, "k");
  Fact fact = like_input(node, node.in(TopK::kInput).shape);
  if (op.part == TopKPart::indices) fact.dtype = DType::int64;
  if (!fact.shape) return fact;
  Dim& size = (*fact.shape)[static_cast<std::size_t>(normalize_axis(node.who(), op.axis, std::ssize(*fact.shape)))];
  const std::vector<Dim>* k = node.ints(TopK::kK);
  if (k && k->size() != 1) node.fail(fmt::format("{} numbers as k", k->size()), "1");
  const Dim count = k ? (*k)[0] : Dim();
  if (count.known() && (count.value() < 0 || (size.known() && count.value() > size.value()))) {
    node.fail(fmt::format("k is {}", count.value()), fmt::format("0 to {}", to_string(Shape{size})));
  }
  size = count;
  return fact;
}

}  // namespace konv
