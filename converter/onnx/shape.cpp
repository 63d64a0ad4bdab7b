// Operators that move elements, and the arithmetic on sizes around them.

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "converter/onnx/operators.h"
#include "engine/base/text.h"
#include "engine/graph/infer.h"

namespace konv::converter {
namespace {

/// Axes as an attribute or, from opset 13 on, as a constant input.
std::optional<Ints> read_axes(NodeReader& node) {
  if (node.opset() < 13) return node.integers("axes");
  if (!node.has(1)) return {};
  return node.constant_integers(1, "axes");
}

/// Pads per listed axis to pads of all dimensions.
Ints spread_pads(NodeReader& node, const Ints& pads, const Ints& axes, std::int64_t rank) {
  const std::size_t count = axes.size();
  if (pads.size() != 2 * count) node.fail(fmt::format("has {} pads for {} axes; expected two per axis", pads.size(), count));
  Ints all(static_cast<std::size_t>(2 * rank), 0);
  std::set<std::int64_t> seen;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
    if (axis < 0 || axis >= rank) node.fail(fmt::format("pads axis {} of {} dimensions", axes[i], rank));
    if (!seen.insert(axis).second) node.fail(fmt::format("pads axis {} twice", axes[i]));
    all[static_cast<std::size_t>(axis)] = pads[i];
    all[static_cast<std::size_t>(axis + rank)] = pads[i + count];
  }
  return all;
}

Tensor scalar_f32(float value) { return make_f32({}, {&value, 1}); }

}  // namespace

void import_concat(NodeReader& node) {
  if (!node.attribute("axis")) node.fail("has no axis");
  std::vector<ValueId> inputs;
  for (int i = 0; i < node.input_count(); ++i) inputs.push_back(node.input(i, "a part"));
  node.finish(Concat{node.integer("axis", 1)}, std::move(inputs));
}

void import_pad(NodeReader& node) {
  const ValueId input = node.input(Pad::kInput, "data");
  Pad pad;
  const std::string mode = node.text("mode", "constant");
  if (mode == "reflect")
    pad.mode = PadMode::reflect;
  else if (mode == "edge")
    pad.mode = PadMode::edge;
  else if (mode != "constant")
    node.fail(fmt::format("mode is '{}'; expected constant, reflect or edge", printable(mode)));

  ValueId pads;
  if (node.opset() < 11) {
    const std::optional<Ints> given = node.integers("pads");
    if (!given) node.fail("has no pads");
    pads = node.constant("pads", *given);
    pad.value = node.real("value", 0);
  } else {
    if (node.has(2)) pad.value = node.constant_real(2, "constant_value");
    if (node.has(3)) {
      const Ints given = node.constant_integers(1, "pads");
      pads = node.constant("pads", spread_pads(node, given, node.constant_integers(3, "axes"), node.rank(input, "its input")));
    } else {
      pads = node.int64_input(1, "pads");
    }
  }
  node.finish(pad, {input, pads});
}

void import_slice(NodeReader& node) {
  const ValueId input = node.input(Slice::kInput, "data");
  if (node.opset() >= 10) {
    const auto optional = [&](int i, const char* what) { return node.has(i) ? node.int64_input(i, what) : ValueId{}; };
    return node.finish(Slice{},
                       {input, node.int64_input(1, "starts"), node.int64_input(2, "ends"), optional(3, "axes"), optional(4, "steps")});
  }
  const std::optional<Ints> starts = node.integers("starts"), ends = node.integers("ends"), axes = node.integers("axes");
  if (!starts || !ends) node.fail("has no starts or no ends");
  node.finish(Slice{},
              {input, node.constant("starts", *starts), node.constant("ends", *ends), axes ? node.constant("axes", *axes) : ValueId{}});
}

void import_flatten(NodeReader& node) { node.finish(Flatten{node.integer("axis", 1)}, {node.input(0, "input")}); }

void import_reshape(NodeReader& node) {
  node.finish(Reshape{node.flag("allowzero", false)}, {node.input(Reshape::kInput, "data"), node.int64_input(Reshape::kShape, "shape")});
}

void import_transpose(NodeReader& node) { node.finish(Transpose{node.integers("perm").value_or(Ints{})}, {node.input(0, "data")}); }

void import_squeeze(NodeReader& node) { node.finish(Squeeze{read_axes(node).value_or(Ints{})}, {node.input(0, "data")}); }

void import_unsqueeze(NodeReader& node) {
  const std::optional<Ints> axes = read_axes(node);
  if (!axes) node.fail("has no axes");
  node.finish(Unsqueeze{*axes}, {node.input(0, "data")});
}

void import_constant(NodeReader& node) {
  if (const auto* value = node.attribute("value")) return node.finish_constant(node.tensor(value->t()));
  if (const auto* value = node.attribute("sparse_value")) return node.finish_constant(node.tensor(value->sparse_tensor()));
  if (const auto* value = node.attribute("value_float")) return node.finish_constant(scalar_f32(value->f()));
  if (const auto* value = node.attribute("value_int")) {
    const std::int64_t integer = value->i();
    return node.finish_constant(make_i64({}, {&integer, 1}));
  }
  if (const auto* value = node.attribute("value_floats")) {
    const std::vector<float> floats(value->floats().begin(), value->floats().end());
    return node.finish_constant(make_f32({static_cast<std::int64_t>(floats.size())}, floats));
  }
  if (const auto integers = node.integers("value_ints")) {
    return node.finish_constant(make_i64({static_cast<std::int64_t>(integers->size())}, *integers));
  }
  node.fail("has no value konv can store; expected a tensor, floats or integers");
}

void import_shape(NodeReader& node) {
  node.finish(ShapeOf{node.integer("start", 0), node.integer("end", INT64_MAX)}, {node.input(0, "data")});
}

void import_gather(NodeReader& node) {
  node.finish(Gather{node.integer("axis", 0)}, {node.input(Gather::kInput, "data"), node.input(Gather::kIndices, "indices")});
}

void import_constant_of_shape(NodeReader& node) {
  ConstantOfShape constant;
  if (const auto* value = node.attribute("value")) {
    const Tensor tensor = node.tensor(value->t());
    if (tensor.count() != 1) node.fail(fmt::format("value has shape {}; expected one element", to_string(tensor.dims)));
    constant.dtype = tensor.dtype;
    constant.value = is_float(tensor.dtype) ? static_cast<double>(to_f32(tensor)[0]) : static_cast<double>(to_i64(tensor)[0]);
  }
  node.finish(constant, {node.int64_input(0, "shape")});
}

void import_expand(NodeReader& node) {
  node.finish(Expand{}, {node.input(Expand::kInput, "data"), node.int64_input(Expand::kShape, "shape")});
}

}  // namespace konv::converter
