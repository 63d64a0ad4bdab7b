#include "engine/graph/infer_node.h"

#include <algorithm>

#include <fmt/format.h>
#include <konv/error.hpp>

namespace konv {

void NodeFacts::fail(const std::string& fact, const std::string& expected) const {
  throw Error(fmt::format("{}: {}; expected {}", who(), fact, expected));
}

const Fact& NodeFacts::in(int i) const {
  const ValueId id = node_.input(i);
  if (!id) fail(fmt::format("input {} is absent", i), "a value");
  if (id.index >= static_cast<std::int32_t>(facts_.size())) fail(fmt::format("input {} is value {}", i, id.index), "a value of this graph");
  return facts_[static_cast<std::size_t>(id.index)];
}

const Shape* NodeFacts::shape(int i) const {
  const Fact& fact = in(i);
  return fact.shape ? &*fact.shape : nullptr;
}

std::optional<Ints> NodeFacts::numbers(int i) const {
  const std::vector<Dim>* known = ints(i);
  if (!known) return {};
  Ints values;
  values.reserve(known->size());
  for (const Dim& dim : *known) {
    if (!dim.known()) return {};
    values.push_back(dim.value());
  }
  return values;
}

std::optional<Ints> NodeFacts::axes(const Ints& attribute, int slot) const {
  if (!has(slot)) return attribute;
  expect_integers(slot, "axes");
  return numbers(slot);
}

const KeptRows* NodeFacts::kept_rows(int i) const {
  const std::optional<KeptRows>& kept = graph_.value(node_.input(i)).kept_rows;
  return kept ? &*kept : nullptr;
}

DType NodeFacts::real_type(int i) const {
  const Fact& fact = in(i);
  return graph_.value(node_.input(i)).quantization ? DType::float32 : fact.dtype;
}

void NodeFacts::expect_floats() const {
  for (int i = 0; i < input_count(); ++i) {
    if (!has(i)) continue;
    if (!is_float(real_type(i))) fail(fmt::format("input {} is {}", i, name(real_type(i))), "floats or quantized integers");
    if (real_type(i) != real_type(0)) {
      fail(fmt::format("input {} is {}", i, name(real_type(i))), fmt::format("{} as input 0", name(real_type(0))));
    }
  }
}

void NodeFacts::expect_bytes(int i, int zero_slot, std::string_view what) const {
  const DType type = in(i).dtype;
  if (type != DType::int8 && type != DType::uint8) fail(fmt::format("{} is {}", what, name(type)), "int8 or uint8");
  if (has(zero_slot) && in(zero_slot).dtype != type)
    fail(fmt::format("{}'s zero point is {}", what, name(in(zero_slot).dtype)), fmt::format("{} as the {}", name(type), what));
}

void NodeFacts::expect_one_or(int slot, std::string_view what, const std::optional<Dim>& many) const {
  const Shape* s = has(slot) ? shape(slot) : nullptr;
  if (!s || !fully_known(*s)) return;
  const std::int64_t count = element_count(to_dims(*s));
  if (count == 1 || (many && (!many->known() || many->value() == count))) return;
  fail(fmt::format("{} is {}", what, to_string(*s)), many ? fmt::format("1 element, or {}", to_string(Shape{*many})) : "1 element");
}

void NodeFacts::expect_one_type() const {
  for (int i = 1; i < input_count(); ++i) {
    if (has(i) && real_type(i) != real_type(0)) {
      fail(fmt::format("input {} is {}", i, name(real_type(i))), fmt::format("{} as input 0", name(real_type(0))));
    }
  }
}

void NodeFacts::expect_integers(int i, std::string_view what) const {
  const DType type = in(i).dtype;
  if (type != DType::int64 && type != DType::int32) fail(fmt::format("{} are {}", what, name(type)), "int64 or int32");
}

void NodeFacts::expect_rank(int i, std::string_view what, std::size_t rank) const {
  const Shape* s = shape(i);
  if (s && s->size() != rank) fail(fmt::format("{} is {}", what, to_string(*s)), fmt::format("{} dimension{}", rank, rank == 1 ? "" : "s"));
}

Fact like_input(const NodeFacts& node, std::optional<Shape> shape) { return {node.real_type(0), std::move(shape), {}, {}}; }

std::optional<Dim> agreed(const Dim& a, const Dim& b) {
  if (a.known() && b.known()) return a.same_as(b) ? std::optional(a) : std::nullopt;
  if (a.known()) return a;
  if (b.known()) return b;
  return a.symbol().empty() ? b : a;
}

std::int64_t normalize_axis(const std::string& node, std::int64_t axis, std::int64_t rank) {
  if (axis < -rank || axis >= rank) {
    throw Error(rank == 0 ? fmt::format("{}: axis {} of a scalar; expected an input with dimensions", node, axis)
                          : fmt::format("{}: axis {}; expected {} to {} (the input has {} dimensions)", node, axis, -rank, rank - 1, rank));
  }
  return axis < 0 ? axis + rank : axis;
}

Ints normalize_axes(const NodeFacts& node, const Ints& axes, std::size_t rank) {
  if (axes.size() > rank) node.fail(fmt::format("{} axes for {} dimensions", axes.size(), rank), "each axis once");
  Ints normal;
  for (const std::int64_t axis : axes) {
    const std::int64_t positive = normalize_axis(node.who(), axis, static_cast<std::int64_t>(rank));
    if (std::find(normal.begin(), normal.end(), positive) != normal.end()) node.fail(fmt::format("axis {} twice", axis), "each axis once");
    normal.push_back(positive);
  }
  return normal;
}

}  // namespace konv
