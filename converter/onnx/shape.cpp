// Operators that move elements, and the arithmetic on sizes around them.

#include <algorithm>

#include <fmt/format.h>

#include "converter/onnx/operators.h"
#include "engine/base/text.h"
#include "engine/graph/infer.h"

namespace konv::converter {
namespace {

/// Axes as an attribute or, from opset 13 on, as an input: constant ones become an attribute, too.
struct Axes {
  std::optional<Ints> listed;
  ValueId input;
};

Axes read_axes(NodeReader& node) {
  if (node.opset() < 13) return {node.integers("axes"), {}};
  if (!node.has(1)) return {};
  if (node.graph().constant(node.input(1, "axes"))) return {node.constant_integers(1, "axes"), {}};
  return {Ints{}, node.int64_input(1, "axes")};
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
  else if (mode == "wrap")
    pad.mode = PadMode::wrap;
  else if (mode != "constant")
    node.fail(fmt::format("mode is '{}'; expected constant, reflect, edge or wrap", printable(mode)));

  ValueId pads, value, axes;
  if (node.opset() < 11) {
    const std::optional<Ints> given = node.integers("pads");
    if (!given) node.fail("has no pads");
    pads = node.constant("pads", *given);
    pad.value = node.real("value", 0);
  } else {
    pads = node.int64_input(1, "pads");
    if (node.has(3)) axes = node.int64_input(3, "axes");
    // A float32 constant is an attribute; another value is read when the network runs.
    const bool constant = node.has(2) && node.graph().constant(node.input(2, "constant_value"));
    if (constant && node.dtype(node.input(2, "constant_value")) == DType::float32) {
      pad.value = node.constant_real(2, "constant_value");
    } else {
      value = node.optional_input(2, "constant_value");
    }
  }
  node.finish(pad, {input, pads, value, axes});
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

void import_squeeze(NodeReader& node) {
  const Axes axes = read_axes(node);
  node.finish(Squeeze{axes.listed.value_or(Ints{})}, {node.input(0, "data"), axes.input});
}

void import_unsqueeze(NodeReader& node) {
  const Axes axes = read_axes(node);
  if (!axes.listed) node.fail("has no axes");
  node.finish(Unsqueeze{*axes.listed}, {node.input(0, "data"), axes.input});
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

namespace {

/// Where the parts of a Split begin, and where the last one ends, as int64 values that Slice reads: from the sizes given, or from equal shares (the last
/// one may be smaller).
std::vector<ValueId> split_points(NodeReader& node, ValueId input, std::int64_t axis) {
  const int parts = node.output_count();
  const auto point = [&](std::int64_t at) { return node.constant("at", Ints{at}); };
  std::optional<Ints> sizes;
  if (node.opset() < 13) sizes = node.integers("split");
  if (node.opset() >= 13 && node.has(1) && node.graph().constant(node.input(1, "split"))) sizes = node.constant_integers(1, "split");
  if (sizes && std::ssize(*sizes) != parts) node.fail(fmt::format("{} sizes for {} outputs; expected one for each", sizes->size(), parts));
  std::vector<ValueId> points = {point(0)};
  if (sizes) {
    std::int64_t at = 0;
    for (const std::int64_t size : *sizes) points.push_back(point(at += size));
    return points;
  }
  if (node.opset() >= 13 && node.has(1)) {  // known when the network runs
    const ValueId given = node.int64_input(1, "split");
    for (std::int64_t i = 0; i < parts; ++i) {
      points.push_back(node.emit("end", Binary{BinaryKind::add, {}}, {points.back(), node.emit("size", Gather{0}, {given, point(i)})}));
    }
    return points;
  }
  if (node.opset() >= 18) {
    const std::int64_t wanted = node.integer("num_outputs", parts);
    if (wanted != parts) node.fail(fmt::format("num_outputs is {} for {} outputs; expected them to agree", wanted, parts));
  }
  const std::optional<Shape>& shape = node.fact(input).shape;
  const Dim size = shape ? (*shape)[static_cast<std::size_t>(axis)] : Dim();
  if (size.known()) {
    const std::int64_t share = (size.value() + parts - 1) / parts;
    for (std::int64_t i = 1; i <= parts; ++i) points.push_back(point(std::min(i * share, size.value())));
    return points;
  }
  const ValueId whole = node.emit("size", ShapeOf{axis, axis + 1}, {input});
  const ValueId more = node.emit("more", Binary{BinaryKind::add, {}}, {whole, point(parts - 1)});
  const ValueId share = node.emit("share", Binary{BinaryKind::div, {}}, {more, point(parts)});
  for (std::int64_t i = 1; i <= parts; ++i) points.push_back(node.emit("end", Binary{BinaryKind::mul, {}}, {share, point(i)}));
  return points;
}

DepthOrder depth_order(NodeReader& node, const char* fallback) {
  const std::string mode = node.text("mode", fallback);
  if (mode != "DCR" && mode != "CRD") node.fail(fmt::format("mode is '{}'; expected DCR or CRD", printable(mode)));
  return mode == "DCR" ? DepthOrder::dcr : DepthOrder::crd;
}

std::int64_t block_size(NodeReader& node) {
  if (!node.attribute("blocksize")) node.fail("has no blocksize");
  return node.integer("blocksize", 1);
}

}  // namespace

/// One Slice per output.
void import_split(NodeReader& node) {
  const ValueId input = node.input(0, "input");
  const std::int64_t axis = normalize_axis(node.name(), node.integer("axis", 0), node.rank(input, "its input"));
  const ValueId axes = node.constant("axis", Ints{axis});
  const std::vector<ValueId> points = split_points(node, input, axis);
  for (int i = 0; i < node.output_count(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (node.output_read(i) || i == 0) node.finish_output(i, Slice{}, {input, points[at], points[at + 1], axes});
  }
}

void import_tile(NodeReader& node) {
  node.finish(Tile{}, {node.input(Tile::kInput, "input"), node.int64_input(Tile::kRepeats, "repeats")});
}

void import_depth_to_space(NodeReader& node) {
  node.finish(DepthToSpace{block_size(node), depth_order(node, "DCR")}, {node.input(0, "input")});
}

void import_space_to_depth(NodeReader& node) {
  node.finish(SpaceToDepth{block_size(node), depth_order(node, "DCR")}, {node.input(0, "input")});
}

void import_range(NodeReader& node) {
  node.finish(Arange{}, {node.input(Arange::kStart, "start"), node.input(Arange::kLimit, "limit"), node.input(Arange::kDelta, "delta")});
}

}  // namespace konv::converter
