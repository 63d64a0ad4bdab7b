// Operators that change the shape and not the numbers, and those whose numbers are shapes.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/checked.h"
#include "engine/graph/infer_node.h"

namespace konv {
namespace {

/// A product of sizes as a number, symbols and how many sizes are unknown: N x 64 x 7 x 7 is 3136 and {N}.
struct Product {
  std::int64_t number = 1;
  std::vector<std::string> symbols;
  int unknown = 0;

  void times(const Dim& dim) {
    if (dim.known()) {
      number = checked_mul(number, dim.value());
    } else if (dim.symbol().empty()) {
      ++unknown;
    } else {
      symbols.push_back(dim.symbol());
    }
  }
  bool known() const { return symbols.empty() && unknown == 0; }
};

/// What is left of `whole` after its symbols have met those of `part`; the symbols of `part` that met none make it unknown.
void cancel(Product& whole, Product& part) {
  for (auto it = part.symbols.begin(); it != part.symbols.end();) {
    const auto found = std::find(whole.symbols.begin(), whole.symbols.end(), *it);
    if (found == whole.symbols.end()) {
      ++it;
      continue;
    }
    whole.symbols.erase(found);
    it = part.symbols.erase(it);
  }
}

/// The size that -1 stands for: whole / part.
Dim remaining(const NodeFacts& node, Product whole, Product part) {
  cancel(whole, part);
  if (!part.known() || whole.unknown > 0 || whole.symbols.size() > 1) return {};
  if (part.number == 0) node.fail("-1 beside a size of 0", "sizes that determine it");
  if (whole.symbols.empty()) {
    if (whole.number % part.number != 0) {
      node.fail(fmt::format("{} elements in rows of {}", whole.number, part.number), "a shape with as many elements as the input");
    }
    return whole.number / part.number;
  }
  return whole.number == part.number ? Dim::symbol(whole.symbols[0]) : Dim();
}

Dim product(Shape::const_iterator begin, Shape::const_iterator end) {
  Dim result = 1;
  for (auto it = begin; it != end; ++it) result = result * *it;
  return result;
}

/// Elements that keep their values under another shape: as long as there is at most one dimension.
Fact with_ints(const NodeFacts& node, Fact fact) {
  if (!fact.shape || fact.shape->size() > 1) return fact;
  fact.ints = node.in(0).ints;
  fact.reals = node.in(0).reals;
  return fact;
}

/// The shape that a shape tensor's elements spell, as far as they are known; nothing when not even its length is.
std::optional<Shape> spelled_shape(const NodeFacts& node, int slot) {
  node.expect_integers(slot, "sizes");
  node.expect_rank(slot, "the list of sizes", 1);
  if (const std::vector<Dim>* ints = node.ints(slot)) return *ints;
  const Shape* shape = node.shape(slot);
  if (!shape || !(*shape)[0].known()) return {};
  if ((*shape)[0].value() > static_cast<std::int64_t>(kMostInts)) node.fail(fmt::format("{} sizes", (*shape)[0].value()), "at most 8");
  return Shape(static_cast<std::size_t>((*shape)[0].value()));
}

void expect_sizes(const NodeFacts& node, const Shape& shape, std::int64_t least) {
  for (const Dim& dim : shape) {
    if (dim.known() && dim.value() < least) node.fail("sizes " + to_string(shape), fmt::format("{} or more", least));
  }
}

}  // namespace

Fact infer_op(const Flatten& op, const NodeFacts& node) {
  const Shape* input = node.shape(0);
  if (!input) return like_input(node, Shape(2));
  const std::int64_t rank = std::ssize(*input);
  if (op.axis < -rank || op.axis > rank) node.fail(fmt::format("axis {}", op.axis), fmt::format("{} to {}", -rank, rank));
  const auto middle = input->begin() + (op.axis < 0 ? op.axis + rank : op.axis);
  return like_input(node, Shape{product(input->begin(), middle), product(middle, input->end())});
}

Fact infer_op(const Reshape& op, const NodeFacts& node) {
  const Shape* input = node.shape(Reshape::kInput);
  std::optional<Shape> wanted = spelled_shape(node, Reshape::kShape);
  if (!wanted) return like_input(node, {});
  expect_sizes(node, *wanted, -1);
  Shape output = *wanted;
  Product whole, part;
  std::vector<bool> copied(input ? input->size() : 0, false);
  std::optional<std::size_t> rest;
  for (std::size_t i = 0; i < output.size(); ++i) {
    const bool number = output[i].known();
    if (number && output[i].value() == -1) {
      if (rest) node.fail("-1 twice in " + to_string(*wanted), "once");
      rest = i;
      output[i] = Dim();
    } else if (number && output[i].value() == 0 && !op.allow_zero) {
      if (input && i >= input->size()) {
        node.fail(fmt::format("0 as size {}", i), fmt::format("a size of the input ({}) to copy", to_string(*input)));
      }
      output[i] = input ? (*input)[i] : Dim();
      if (input) copied[i] = true;
    } else {
      part.times(output[i]);
    }
  }
  if (!input) return with_ints(node, like_input(node, output));
  // Sizes copied are on both sides: they need not be known.
  for (std::size_t i = 0; i < input->size(); ++i) {
    if (!copied[i]) whole.times((*input)[i]);
  }
  if (rest) {
    output[*rest] = remaining(node, whole, part);
  } else if (whole.known() && part.known() && whole.number != part.number) {
    node.fail(fmt::format("{} does not fill {}", to_string(*input), to_string(output)), "equal numbers of elements");
  }
  return with_ints(node, like_input(node, output));
}

Fact infer_op(const Transpose& op, const NodeFacts& node) {
  const Shape* input = node.shape(0);
  if (!input) return like_input(node, {});
  if (op.permutation.empty()) return with_ints(node, like_input(node, Shape(input->rbegin(), input->rend())));
  const Ints order = normalize_axes(node, op.permutation, input->size());
  if (order.size() != input->size()) {
    node.fail(fmt::format("permutation of {} axes", order.size()), fmt::format("{} (the input is {})", input->size(), to_string(*input)));
  }
  Shape output;
  for (const std::int64_t axis : order) output.push_back((*input)[static_cast<std::size_t>(axis)]);
  return with_ints(node, like_input(node, output));
}

Fact infer_op(const Squeeze& op, const NodeFacts& node) {
  const Shape* input = node.shape(0);
  const std::optional<Ints> given = node.axes(op.axes, Squeeze::kAxes);
  if (!input || !given) return like_input(node, {});
  if (given->empty() && !fully_known(*input)) return like_input(node, {});  // an unknown size may turn out to be 1
  const Ints axes = normalize_axes(node, *given, input->size());
  Shape output;
  for (std::size_t i = 0; i < input->size(); ++i) {
    const Dim& size = (*input)[i];
    const bool listed = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    if (listed && size.known() && size.value() != 1) {
      node.fail(fmt::format("axis {} of {} has {} elements", i, to_string(*input), size.value()), "1");
    }
    if (!listed && !(given->empty() && size.value() == 1)) output.push_back(size);
  }
  return with_ints(node, like_input(node, output));
}

Fact infer_op(const Unsqueeze& op, const NodeFacts& node) {
  const Shape* input = node.shape(0);
  const std::optional<Ints> given = node.axes(op.axes, Unsqueeze::kAxes);
  if (!input || !given) return like_input(node, {});
  const std::size_t rank = input->size() + given->size();
  const Ints axes = normalize_axes(node, *given, rank);
  Shape output;
  auto next = input->begin();
  for (std::size_t i = 0; i < rank; ++i) {
    const bool fresh = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) != axes.end();
    output.push_back(fresh ? Dim(1) : *next++);
  }
  return with_ints(node, like_input(node, output));
}

Fact infer_op(const Identity&, const NodeFacts& node) { return with_ints(node, like_input(node, node.in(0).shape)); }

Fact infer_op(const ShapeOf& op, const NodeFacts& node) {
  const Shape* input = node.shape(0);
  if (!input) return {DType::int64, Shape(1), {}, {}};
  const std::int64_t rank = std::ssize(*input);
  const auto place = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + rank : i, 0, rank); };
  const std::int64_t start = place(op.start), end = std::max(start, place(op.end));
  return {DType::int64, Shape{end - start}, std::vector<Dim>(input->begin() + start, input->begin() + end), {}};
}

Fact infer_op(const Cast& op, const NodeFacts& node) {
  Fact fact{op.to, node.in(0).shape, {}, {}};
  // Sizes as int32 stay what they are; narrower types would have to wrap.
  if (op.to == DType::int64 || op.to == DType::int32) fact.ints = node.in(0).ints;
  const auto too_big = [](const Dim& dim) { return dim.known() && (dim.value() > INT32_MAX || dim.value() < INT32_MIN); };
  if (fact.ints && op.to == DType::int32 && std::any_of(fact.ints->begin(), fact.ints->end(), too_big)) fact.ints.reset();
  const bool small = fact.shape && fact.shape->size() <= 1;
  if (const std::vector<double>* reals = node.reals(0); reals && is_float(op.to)) {
    fact.reals = *reals;
  } else if (reals && small && (op.to == DType::int64 || op.to == DType::int32)) {
    const auto fits = [](double x) { return std::fabs(x) < 0x1p31; };
    if (std::all_of(reals->begin(), reals->end(), fits)) {
      fact.ints.emplace();
      for (const double x : *reals) fact.ints->emplace_back(static_cast<std::int64_t>(x));
    }
  }
  const std::optional<Ints> numbers = node.numbers(0);
  if (small && is_float(op.to) && numbers && numbers->size() <= kMostReals) fact.reals.emplace(numbers->begin(), numbers->end());
  return fact;
}

Fact infer_op(const ConstantOfShape& op, const NodeFacts& node) {
  Fact fact{op.dtype, spelled_shape(node, 0), {}, {}};
  if (!fact.shape) return fact;
  expect_sizes(node, *fact.shape, 0);
  const bool integer = op.dtype == DType::int64 || op.dtype == DType::int32;
  const double limit = op.dtype == DType::int64 ? 0x1p62 : 0x1p31 - 1;
  if (!integer || !(op.value >= -limit && op.value <= limit)) return fact;
  if (fact.shape->size() > 1 || !fully_known(*fact.shape)) return fact;
  const std::int64_t count = fact.shape->empty() ? 1 : (*fact.shape)[0].value();
  if (count <= static_cast<std::int64_t>(kMostInts)) {
    fact.ints.emplace(static_cast<std::size_t>(count), Dim(static_cast<std::int64_t>(op.value)));
  }
  return fact;
}

Fact infer_op(const Expand&, const NodeFacts& node) {
  const Shape* input = node.shape(Expand::kInput);
  const std::optional<Shape> wanted = spelled_shape(node, Expand::kShape);
  if (!input || !wanted) return like_input(node, {});
  expect_sizes(node, *wanted, 0);
  Fact fact = like_input(node, broadcast(node.who(), *input, *wanted));
  const std::vector<Dim>* ints = node.ints(Expand::kInput);
  if (!ints || fact.shape->size() > 1 || !fully_known(*fact.shape)) return fact;
  const std::int64_t count = fact.shape->empty() ? 1 : (*fact.shape)[0].value();
  if (static_cast<std::int64_t>(ints->size()) == count) fact.ints = *ints;
  if (ints->size() == 1 && count <= static_cast<std::int64_t>(kMostInts)) fact.ints.emplace(static_cast<std::size_t>(count), (*ints)[0]);
  return fact;
}

Fact infer_op(const Tile&, const NodeFacts& node) {
  const Shape* input = node.shape(Tile::kInput);
  const std::optional<Shape> repeats = spelled_shape(node, Tile::kRepeats);
  if (!input) return like_input(node, {});
  if (!repeats) return like_input(node, Shape(input->size()));
  if (repeats->size() != input->size()) {
    node.fail(fmt::format("{} repeats", repeats->size()), fmt::format("{}, one per dimension of {}", input->size(), to_string(*input)));
  }
  expect_sizes(node, *repeats, 0);
  Shape output;
  for (std::size_t i = 0; i < input->size(); ++i) output.push_back((*input)[i] * (*repeats)[i]);
  return like_input(node, output);
}

namespace {

/// A size cut into parts of `by`.
Dim divided(const NodeFacts& node, const char* what, const Dim& size, std::int64_t by) {
  if (!size.known()) return {};
  if (size.value() % by != 0) node.fail(fmt::format("{} {}", size.value(), what), fmt::format("a multiple of {}", by));
  return size.value() / by;
}

const Shape* image_for_blocks(const NodeFacts& node, std::int64_t block) {
  if (block < 1 || block > INT32_MAX) node.fail(fmt::format("block size {}", block), "1 or more");
  node.expect_rank(0, "input", 4);
  return node.shape(0);
}

}  // namespace

Fact infer_op(const DepthToSpace& op, const NodeFacts& node) {
  const Shape* in = image_for_blocks(node, op.block);
  if (!in) return like_input(node, Shape(4));
  const Dim channels = divided(node, "channels", (*in)[1], checked_mul(op.block, op.block));
  return like_input(node, Shape{(*in)[0], channels, (*in)[2] * Dim(op.block), (*in)[3] * Dim(op.block)});
}

Fact infer_op(const SpaceToDepth& op, const NodeFacts& node) {
  const Shape* in = image_for_blocks(node, op.block);
  if (!in) return like_input(node, Shape(4));
  return like_input(node, Shape{(*in)[0], (*in)[1] * Dim(checked_mul(op.block, op.block)), divided(node, "rows", (*in)[2], op.block),
                                divided(node, "columns", (*in)[3], op.block)});
}

Fact infer_op(const Arange&, const NodeFacts& node) {
  node.expect_one_type();
  const DType type = node.in(0).dtype;
  if (type == DType::boolean) node.fail("bounds are bool", "numbers");
  Fact fact = like_input(node, Shape(1));
  const auto too_many = [&](double count) {
    if (count >= static_cast<double>(kMostElements)) node.fail(fmt::format("{} elements", count), "fewer than 2^40");
  };
  if (is_float(type)) {
    const std::vector<double>*start = node.reals(0), *limit = node.reals(1), *delta = node.reals(2);
    if (!start || !limit || !delta || start->size() != 1 || limit->size() != 1 || delta->size() != 1) return fact;
    if ((*delta)[0] == 0) node.fail("delta 0", "a step forwards or backwards");
    const double count = std::max(0.0, std::ceil(((*limit)[0] - (*start)[0]) / (*delta)[0]));
    too_many(count);
    fact.shape = Shape{static_cast<std::int64_t>(count)};
    return fact;
  }
  const std::optional<Ints> start = node.numbers(0), limit = node.numbers(1), delta = node.numbers(2);
  if (!start || !limit || !delta || start->size() != 1 || limit->size() != 1 || delta->size() != 1) return fact;
  const std::int64_t step = (*delta)[0];
  if (step == 0) node.fail("delta 0", "a step forwards or backwards");
  const std::int64_t distance = checked_sub((*limit)[0], (*start)[0]);
  const std::int64_t whole = step == -1 ? checked_sub(0, distance) : distance / step,
                     count = std::max<std::int64_t>(0, whole + (step != -1 && distance % step != 0 && (distance < 0) == (step < 0)));
  too_many(static_cast<double>(count));
  fact.shape = Shape{count};
  if (count > static_cast<std::int64_t>(kMostInts)) return fact;
  fact.ints.emplace();
  for (std::int64_t i = 0; i < count; ++i) fact.ints->emplace_back((*start)[0] + i * step);
  return fact;
}

}  // namespace konv
