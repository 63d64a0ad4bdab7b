// Operators that put elements elsewhere: Concat, Pad, Slice, Gather.
#include <algorithm>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/checked.h"
#include "engine/graph/infer_node.h"

namespace konv {
namespace {

struct SlicedAxis {
  std::int64_t first = 0, count = 0;
};

/// ONNX Slice-13 along one axis of `size` elements: negative places count from the back, places outside are moved to the border.
SlicedAxis slice_axis(std::int64_t size, std::int64_t start, std::int64_t end, std::int64_t step) {
  const std::int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? size : size - 1;
  const auto place = [&](std::int64_t i, std::int64_t low) { return std::clamp(i < 0 ? i + size : i, low, std::max(low, highest)); };
  const std::int64_t first = place(start, 0), last = place(end, lowest);
  if (size == 0 || (step > 0 ? first >= last : first <= last)) return {0, 0};
  const std::int64_t distance = step > 0 ? last - first : first - last;
  const std::int64_t stride = step > 0 ? step : step == INT64_MIN ? INT64_MAX : -step;
  return {first, (distance - 1) / stride + 1};
}

/// Slice's lists, completed and checked.
struct SliceLists {
  Ints starts, ends, axes, steps;
};

SliceLists slice_lists(const std::string& node, std::size_t rank, const Ints& starts, const Ints& ends, const Ints& axes,
                       const Ints& steps) {
  SliceLists lists{starts, ends, axes, steps};
  const std::size_t count = starts.size();
  if (count > rank) throw Error(fmt::format("{}: slices {} axes of {}; expected each at most once", node, count, rank));
  if (axes.empty()) {
    for (std::size_t i = 0; i < count; ++i) lists.axes.push_back(static_cast<std::int64_t>(i));
  }
  if (steps.empty()) lists.steps.assign(count, 1);
  if (ends.size() != count || lists.axes.size() != count || lists.steps.size() != count) {
    throw Error(fmt::format("{}: {} starts, {} ends, {} axes, {} steps; expected equally many", node, count, ends.size(), lists.axes.size(),
                            lists.steps.size()));
  }
  std::vector<bool> seen(rank, false);
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t& axis = lists.axes[i];
    axis = normalize_axis(node, axis, static_cast<std::int64_t>(rank));
    if (seen[static_cast<std::size_t>(axis)]) throw Error(fmt::format("{}: axis {} twice; expected each axis once", node, axis));
    seen[static_cast<std::size_t>(axis)] = true;
    if (lists.steps[i] == 0) throw Error(fmt::format("{}: step 0; expected a step forwards or backwards", node));
  }
  return lists;
}

/// An optional list input: empty when absent, nothing when its numbers are not known.
std::optional<Ints> list(const NodeFacts& node, int slot, const char* what) {
  if (!node.has(slot)) return Ints{};
  node.expect_integers(slot, what);
  node.expect_rank(slot, what, 1);
  return node.numbers(slot);
}

Dim sliced_size(const Dim& size, std::int64_t start, std::int64_t end, std::int64_t step) {
  if (size.known()) return slice_axis(size.value(), start, end, step).count;
  const bool whole = start == 0 && end >= INT32_MAX && step == 1;
  return whole ? size : Dim();
}

/// Index `i` of an axis of `size` elements; negative ones count from the back.
std::size_t element(const NodeFacts& node, std::int64_t i, std::int64_t size) {
  if (i < -size || i >= size) node.fail(fmt::format("index {}", i), fmt::format("{} to {}", -size, size - 1));
  return static_cast<std::size_t>(i < 0 ? i + size : i);
}

}  // namespace

SliceGeometry slice_geometry(const std::string& node, const Dims& dims, const Ints& starts, const Ints& ends, const Ints& axes,
                             const Ints& steps) {
  const SliceLists lists = slice_lists(node, dims.size(), starts, ends, axes, steps);
  SliceGeometry geometry{Ints(dims.size(), 0), Ints(dims.size(), 1), dims};
  for (std::size_t i = 0; i < lists.axes.size(); ++i) {
    const std::size_t axis = static_cast<std::size_t>(lists.axes[i]);
    const SlicedAxis sliced = slice_axis(dims[axis], lists.starts[i], lists.ends[i], lists.steps[i]);
    geometry.first[axis] = sliced.first;
    geometry.step[axis] = lists.steps[i];
    geometry.count[axis] = sliced.count;
  }
  return geometry;
}

Ints spread_pads(const std::string& node, const Ints& pads, const std::optional<Ints>& axes, std::size_t rank) {
  const std::size_t count = axes ? axes->size() : rank;
  if (pads.size() != 2 * count) {
    throw Error(fmt::format("{}: {} pads for {} {}; expected two for each", node, pads.size(), count, axes ? "axes" : "dimensions"));
  }
  if (!axes) return pads;
  Ints all(2 * rank, 0);
  std::vector<bool> seen(rank, false);
  for (std::size_t i = 0; i < count; ++i) {
    const auto axis = static_cast<std::size_t>(normalize_axis(node, (*axes)[i], static_cast<std::int64_t>(rank)));
    if (seen[axis]) throw Error(fmt::format("{}: pads axis {} twice; expected each axis once", node, (*axes)[i]));
    seen[axis] = true;
    all[axis] = pads[i];
    all[axis + rank] = pads[i + count];
  }
  return all;
}

Fact infer_op(const Slice&, const NodeFacts& node) {
  const Shape* input = node.shape(Slice::kInput);
  const std::optional<Ints> starts = list(node, Slice::kStarts, "starts"), ends = list(node, Slice::kEnds, "ends"),
                            axes = list(node, Slice::kAxes, "axes"), steps = list(node, Slice::kSteps, "steps");
  if (!input) return like_input(node, {});
  if (!starts || !ends || !axes || !steps) return like_input(node, Shape(input->size()));
  const SliceLists lists = slice_lists(node.who(), input->size(), *starts, *ends, *axes, *steps);
  Shape output = *input;
  for (std::size_t i = 0; i < lists.axes.size(); ++i) {
    Dim& size = output[static_cast<std::size_t>(lists.axes[i])];
    size = sliced_size(size, lists.starts[i], lists.ends[i], lists.steps[i]);
  }
  Fact fact = like_input(node, output);
  const auto sliced = [&](const auto* elements, auto& result) {
    if (!elements || input->size() != 1) return;
    const SliceGeometry g = slice_geometry(node.who(), {std::ssize(*elements)}, *starts, *ends, *axes, *steps);
    result.emplace();
    for (std::int64_t i = 0; i < g.count[0]; ++i) result->push_back((*elements)[static_cast<std::size_t>(g.first[0] + i * g.step[0])]);
  };
  sliced(node.ints(Slice::kInput), fact.ints);
  sliced(node.reals(Slice::kInput), fact.reals);
  return fact;
}

Fact infer_op(const Concat& op, const NodeFacts& node) {
  std::optional<Shape> output;
  std::optional<std::vector<Dim>> ints(std::in_place);
  std::optional<std::vector<double>> reals(std::in_place);
  const auto append = [](auto& all, const auto* more, std::size_t most) {
    if (!more || (all && all->size() + more->size() > most)) all.reset();
    if (all) all->insert(all->end(), more->begin(), more->end());
  };
  bool complete = true;
  for (int i = 0; i < node.input_count(); ++i) {
    if (node.real_type(i) != node.real_type(0)) {
      node.fail(fmt::format("input {} is {}", i, name(node.real_type(i))), fmt::format("{} as input 0", name(node.real_type(0))));
    }
    append(ints, node.ints(i), kMostInts);
    append(reals, node.reals(i), kMostReals);
    const Shape* shape = node.shape(i);
    complete &= shape != nullptr;
    if (!shape) continue;
    const auto axis = static_cast<std::size_t>(normalize_axis(node.who(), op.axis, std::ssize(*shape)));
    if (!output) {
      output = *shape;
      continue;
    }
    bool fits = shape->size() == output->size();
    for (std::size_t d = 0; fits && d < shape->size(); ++d) {
      const std::optional<Dim> size = d == axis ? (*output)[d] + (*shape)[d] : agreed((*output)[d], (*shape)[d]);
      fits = size.has_value();
      if (fits) (*output)[d] = *size;
    }
    if (!fits) {
      node.fail(fmt::format("input {} is {} behind {}", i, to_string(*shape), to_string(*output)),
                fmt::format("equal sizes but for axis {}", axis));
    }
  }
  if (!complete) return like_input(node, {});
  Fact fact = like_input(node, output);
  if (output && output->size() == 1) {
    fact.ints = std::move(ints);
    fact.reals = std::move(reals);
  }
  return fact;
}

Fact infer_op(const Pad& op, const NodeFacts& node) {
  const std::optional<Ints> given = list(node, Pad::kPads, "pads");
  const std::optional<Ints> axes = list(node, Pad::kAxes, "axes");
  const Shape* input = node.shape(Pad::kInput);
  if (node.has(Pad::kValue) && node.in(Pad::kValue).dtype != node.in(Pad::kInput).dtype) {
    node.fail(fmt::format("value is {}", name(node.in(Pad::kValue).dtype)), fmt::format("{} as the input", name(node.in(0).dtype)));
  }
  if (!input) return like_input(node, {});
  const std::size_t rank = input->size();
  if (!given || !axes) return like_input(node, Shape(rank));
  const Ints pads = spread_pads(node.who(), *given, node.has(Pad::kAxes) ? axes : std::nullopt, rank);
  Shape output = *input;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t begin = pads[i], end = pads[rank + i], more = checked_add(begin, end);
    const Dim& size = (*input)[i];
    output[i] = size + Dim(more);
    if (!size.known()) continue;
    const auto refuse = [&](const char* expected) {
      node.fail(fmt::format("pads {} and {} around {} elements", begin, end, size.value()), expected);
    };
    if (output[i].value() < 0) refuse("crops that leave something");
    if (op.mode == PadMode::reflect && std::max(begin, end) >= size.value() && std::max(begin, end) > 0)
      refuse("reflections inside the input");
    if ((op.mode == PadMode::edge || op.mode == PadMode::wrap) && size.value() == 0 && more > 0) refuse("elements to repeat");
  }
  return like_input(node, output);
}

Fact infer_op(const Gather& op, const NodeFacts& node) {
  node.expect_integers(Gather::kIndices, "indices");
  const Shape *input = node.shape(Gather::kInput), *indices = node.shape(Gather::kIndices);
  if (!input || !indices) return like_input(node, {});
  const std::int64_t axis = normalize_axis(node.who(), op.axis, std::ssize(*input));
  Shape output(input->begin(), input->begin() + axis);
  output.insert(output.end(), indices->begin(), indices->end());
  output.insert(output.end(), input->begin() + axis + 1, input->end());
  Fact fact = like_input(node, output);
  const Dim& size = (*input)[static_cast<std::size_t>(axis)];
  const std::optional<Ints> places = node.numbers(Gather::kIndices);
  if (!places || !size.known()) return fact;
  for (const std::int64_t place : *places) element(node, place, size.value());
  const auto gathered = [&](const auto* elements, auto& result) {
    if (!elements || input->size() != 1 || fact.shape->size() > 1) return;
    result.emplace();
    for (const std::int64_t place : *places) result->push_back((*elements)[element(node, place, std::ssize(*elements))]);
  };
  gathered(node.ints(Gather::kInput), fact.ints);
  gathered(node.reals(Gather::kInput), fact.reals);
  return fact;
}

}  // namespace konv
