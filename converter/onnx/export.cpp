// A Graph as an ONNX file.
#include "converter/onnx/export.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include <konv/error.hpp>

#include "converter/import.h"
#include "engine/base/text.h"
#include "engine/graph/weights.h"

namespace konv::converter {

std::int32_t onnx_type(DType dtype) {
  switch (dtype) {
    case DType::float32: return 1;
    case DType::float64: return 11;
    case DType::float16: return 10;
    case DType::bfloat16: return 16;
    case DType::int64: return 7;
    case DType::int32: return 6;
    case DType::int16: return 5;
    case DType::int8: return 3;
    case DType::int4: return 22;
    case DType::int2: return 26;
    case DType::uint64: return 13;
    case DType::uint32: return 12;
    case DType::uint16: return 4;
    case DType::uint8: return 2;
    case DType::uint4: return 21;
    case DType::uint2: return 25;
    case DType::boolean: return 9;
  }
  return 0;
}

namespace {

onnx::AttributeProto& add_attribute(onnx::NodeProto& node, const char* name, onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

void fill(onnx::TensorProto& proto, const std::string& name, const Tensor& tensor) {
  proto.set_name(name);
  proto.set_data_type(onnx_type(tensor.dtype));
  for (const std::int64_t size : tensor.dims) proto.add_dims(size);
  proto.set_raw_data(reinterpret_cast<const char*>(tensor.bytes.get()), static_cast<std::size_t>(tensor.size_bytes()));
}

}  // namespace

void set(onnx::NodeProto& node, const char* name, std::int64_t value) { add_attribute(node, name, onnx::AttributeProto::INT).set_i(value); }
void set(onnx::NodeProto& node, const char* name, float value) { add_attribute(node, name, onnx::AttributeProto::FLOAT).set_f(value); }
void set(onnx::NodeProto& node, const char* name, const char* value) {
  add_attribute(node, name, onnx::AttributeProto::STRING).set_s(value);
}
void set(onnx::NodeProto& node, const char* name, const Ints& values) {
  onnx::AttributeProto& attribute = add_attribute(node, name, onnx::AttributeProto::INTS);
  for (const std::int64_t value : values) attribute.add_ints(value);
}

void OnnxWriter::begin(const Node& node, std::string result) {
  node_ = &node;
  result_ = std::move(result);
  renamed_.clear();
}

void OnnxWriter::fail(const std::string& fact, const std::string& expected) const {
  throw Error(fmt::format("{}: {}; expected {}", label(*node_), fact, expected));
}

std::string OnnxWriter::input(int i) const {
  if (const auto renamed = renamed_.find(i); renamed != renamed_.end()) return renamed->second;
  const ValueId id = node_->input(i);
  return id ? graph_.value(id).name : "";
}

std::string OnnxWriter::unique(const std::string& wanted) {
  std::string name = wanted;
  for (int n = 1; graph_.find_value(name) || !made_.insert(name).second; ++n) name = fmt::format("{}_{}", wanted, n);
  return name;
}

onnx::NodeProto& OnnxWriter::add(const char* op, std::vector<std::string> inputs, std::vector<std::string> outputs) {
  onnx::NodeProto& node = *proto_.add_node();
  node.set_op_type(op);
  node.set_name(std::find(outputs.begin(), outputs.end(), result_) != outputs.end() ? node_->name : outputs.front());
  while (!inputs.empty() && inputs.back().empty()) inputs.pop_back();
  for (std::string& input : inputs) node.add_input(std::move(input));
  for (std::string& output : outputs) node.add_output(std::move(output));
  return node;
}

std::string OnnxWriter::emit(const char* op, std::vector<std::string> inputs, const std::string& suffix) {
  const std::string output = fresh(suffix);
  add(op, std::move(inputs), {output});
  return output;
}

void OnnxWriter::initializer(const std::string& name, const Tensor& tensor) { fill(*proto_.add_initializer(), name, tensor); }

std::string OnnxWriter::constant(const std::string& suffix, const Tensor& tensor) {
  const std::string name = fresh(suffix);
  initializer(name, tensor);
  return name;
}
std::string OnnxWriter::constant(const std::string& suffix, const Ints& values) {
  return constant(suffix, make_i64({std::ssize(values)}, values));
}
std::string OnnxWriter::constant(const std::string& suffix, float value) { return constant(suffix, make_f32({}, {&value, 1})); }

namespace {

void describe(onnx::ValueInfoProto& info, const Value& value) {
  info.set_name(value.name);
  auto& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx_type(value.quantization ? DType::float32 : value.dtype));
  if (!value.shape) return;
  auto& shape = *type.mutable_shape();
  for (const Dim& dim : *value.shape) {
    auto& size = *shape.add_dim();
    if (dim.known()) size.set_dim_value(dim.value());
    if (!dim.known() && !dim.symbol().empty()) size.set_dim_param(dim.symbol());
  }
}

/// Pruned weights [outputs, kept rows] with zeros where rows were taken out: ONNX knows dense ones only.
Tensor dense(const Tensor& tensor, const KeptRows& kept) {
  MutableTensor result(tensor.dtype, kept.dense_dims);
  const auto width = static_cast<std::size_t>(bits(tensor.dtype)) / 8, outputs = static_cast<std::size_t>(kept.dense_dims[0]);
  const std::size_t all = outputs ? static_cast<std::size_t>(element_count(kept.dense_dims)) / outputs : 0, few = kept.rows.size();
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t k = 0; k < few; ++k) {
      std::memcpy(result.bytes.get() + (o * all + static_cast<std::size_t>(kept.rows[k])) * width,
                  tensor.bytes.get() + (o * few + k) * width, width);
    }
  }
  return result;
}

/// Integers counted from their zero point, in a type that QuantizeLinear's relatives and ONNX Runtime's kernels know: 2 bits lie in int8, since
/// ONNX Runtime 1.31 refuses convolutions of int2.
Tensor centred(const Value& value) {
  const std::vector<std::int64_t> wide = integer_weights(value);
  const std::vector<std::int32_t> integers(wide.begin(), wide.end());
  const auto [low, high] = std::minmax_element(integers.begin(), integers.end());
  const auto fits = [&](std::int32_t least) { return integers.empty() || (*low >= least && *high < -least); };
  const DType type = bits(value.dtype) == 4 && fits(-8) ? DType::int4
                     : fits(-128)                       ? DType::int8
                     : fits(-32768)                     ? DType::int16
                                                        : DType::int32;
  return pack_integers(type, value.kept_rows ? value.kept_rows->dense_dims : value.constant->dims, integers);
}

class GraphWriter {
 public:
  GraphWriter(const Graph& graph, onnx::GraphProto& proto) : graph_(graph), proto_(proto), writer_(graph, proto) {}

  std::int64_t run() {
    proto_.set_name(graph_.name.empty() ? "konv" : graph_.name);
    for (const ValueId id : graph_.inputs()) describe(*proto_.add_input(), graph_.value(id));
    find_integer_biases();
    for (int i = 0; i < graph_.value_count(); ++i) {
      if (graph_.constant(ValueId{i}) && read_as_it_is(ValueId{i})) constant(ValueId{i});
    }
    for (const NodeId id : graph_.nodes()) write(id);
    for (const ValueId id : graph_.outputs()) describe(*proto_.add_output(), graph_.value(id));
    return writer_.opset();
  }

 private:
  void write(NodeId id) {
    const Node& node = graph_.node(id);
    const Value& value = graph_.value(node.output());
    if (!value.quantization) {
      writer_.begin(node, value.name);
      if (const auto bias = biases_.find(id); bias != biases_.end()) writer_.rename_input(kBias, integer_bias(node, bias->second));
      return export_node(writer_);
    }
    // Rounded to its integers and back: what a quantized edge means.
    std::string real = graph_.value(node.input(0)).name;
    if (!std::holds_alternative<Identity>(node.op)) {
      real = writer_.unique(value.name + ".real");
      writer_.begin(node, real);
      if (const auto bias = biases_.find(id); bias != biases_.end()) writer_.rename_input(kBias, integer_bias(node, bias->second));
      export_node(writer_);
    }
    round(value, real);
  }

  // Activations.

  void round(const Value& value, const std::string& real) {
    const Quantization& q = *value.quantization;
    const bool narrow = bits(value.dtype) < 8;  // uint8, clipped: ONNX Runtime 1.31 refuses convolutions of uint2 and pooling of uint4
    const DType type = narrow ? DType::uint8 : value.dtype;
    if (bits(type) == 16) writer_.need_opset(21);
    const Dims dims = q.scale.size() == 1 ? Dims{} : Dims{std::ssize(q.scale)};
    const std::string scale = initializer(value.name + ".scale", make_f32(dims, q.scale));
    const std::string zero = initializer(value.name + ".zero_point", pack_integers(type, dims, q.zero_point));
    std::string integers = writer_.unique(value.name + ".quantized");
    set(raw("QuantizeLinear", {real, scale, zero}, integers), "axis", std::int64_t{q.axis});
    if (narrow) {
      const std::int32_t ends[] = {0, (1 << bits(value.dtype)) - 1};
      const std::string low = initializer(value.name + ".low", pack_integers(type, {}, {&ends[0], 1}));
      const std::string high = initializer(value.name + ".high", pack_integers(type, {}, {&ends[1], 1}));
      const std::string clipped = writer_.unique(value.name + ".clipped");
      raw("Clip", {integers, low, high}, clipped);
      integers = clipped;
    }
    set(raw("DequantizeLinear", {integers, scale, zero}, value.name), "axis", std::int64_t{q.axis});
  }

  // Constants.

  void constant(ValueId id) {
    const Value& value = graph_.value(id);
    if (!value.quantization)
      return writer_.initializer(value.name, value.kept_rows ? dense(*value.constant, *value.kept_rows) : *value.constant);
    if (is_float(value.dtype)) return writer_.initializer(value.name, real_weights(value));
    dequantized(value.name, centred(value), value.quantization->scale, value.quantization->axis);
  }

  /// Integers around a zero point of 0 that DequantizeLinear makes `name` of.
  void dequantized(const std::string& name, const Tensor& integers, const std::vector<float>& scale, std::int64_t axis) {
    if (bits(integers.dtype) == 16 || bits(integers.dtype) == 4) writer_.need_opset(21);
    const Dims dims = scale.size() == 1 ? Dims{} : Dims{std::ssize(scale)};
    const std::string stored = initializer(name + ".quantized", integers);
    std::vector<std::string> inputs = {stored, initializer(name + ".scale", make_f32(dims, scale))};
    if (integers.dtype != DType::int32) inputs.push_back(initializer(name + ".zero_point", MutableTensor(integers.dtype, dims)));
    set(raw("DequantizeLinear", inputs, name), "axis", axis);
  }

  std::string initializer(const std::string& wanted, const Tensor& tensor) {
    const std::string name = writer_.unique(wanted);
    writer_.initializer(name, tensor);
    return name;
  }

  // Biases of integer layers: int32 in units of the sums they are added to, where they are whole ones.

  static constexpr int kBias = 2;

  struct IntegerBias {
    std::vector<std::int32_t> integers;
    std::vector<float> scale;
  };

  void find_integer_biases() {
    static_assert(Conv::kBias == kBias && Gemm::kC == kBias);
    for (const NodeId id : graph_.nodes()) {
      if (!graph_.as<Conv>(id) && !graph_.as<Gemm>(id)) continue;
      if (std::optional<IntegerBias> bias = whole_bias(graph_.node(id))) biases_[id] = std::move(*bias);
    }
  }

  std::optional<IntegerBias> whole_bias(const Node& node) const {
    const ValueId input = node.input(0), weight = node.input(1), bias = node.input(kBias);
    const auto stored = [&](ValueId id) { return id && graph_.value(id).quantization; };
    if (!stored(input) || !stored(weight) || !graph_.constant(weight) || graph_.value(input).quantization->scale.size() != 1) return {};
    const Tensor* constant = graph_.constant(bias);
    if (!constant || constant->dtype != DType::float32 || constant->dims.size() != 1) return {};
    const std::vector<float>& scales = graph_.value(weight).quantization->scale;
    IntegerBias whole;
    for (std::size_t o = 0; o < constant->f32().size(); ++o) {
      const float unit = graph_.value(input).quantization->scale.front() * scales[scales.size() == 1 ? 0 : o];
      const double integer = std::nearbyint(static_cast<double>(constant->f32()[o]) / static_cast<double>(unit));
      if (!(std::fabs(integer) <= INT32_MAX) || static_cast<float>(integer) * unit != constant->f32()[o]) return {};
      whole.integers.push_back(static_cast<std::int32_t>(integer));
      whole.scale.push_back(unit);
    }
    return whole;
  }

  bool read_as_it_is(ValueId id) const {
    if (graph_.is_output(id)) return true;
    const std::vector<NodeId> readers = graph_.readers(id);
    return std::any_of(readers.begin(), readers.end(), [&](NodeId reader) {
      const Node& node = graph_.node(reader);
      const bool only_bias = node.input(kBias) == id && std::count(node.inputs.begin(), node.inputs.end(), id) == 1;
      return !only_bias || !biases_.contains(reader);
    });
  }

  std::string integer_bias(const Node& node, const IntegerBias& bias) {
    const std::string name = writer_.unique(graph_.value(node.input(kBias)).name + ".of." + node.name);
    dequantized(name, pack_integers(DType::int32, {std::ssize(bias.integers)}, bias.integers), bias.scale, 0);
    return name;
  }

  onnx::NodeProto& raw(const char* op, const std::vector<std::string>& inputs, const std::string& output) {
    onnx::NodeProto& node = *proto_.add_node();
    node.set_op_type(op);
    node.set_name(output + "." + op);
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(output);
    return node;
  }

  const Graph& graph_;
  onnx::GraphProto& proto_;
  OnnxWriter writer_;
  std::map<NodeId, IntegerBias> biases_;
};

/// The version of the file format that came with an opset (ONNX's table of versions).
std::int64_t ir_version(std::int64_t opset) {
  constexpr std::pair<int, int> kSince[] = {{28, 14}, {25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}};
  for (const auto& [first, version] : kSince) {
    if (opset >= first) return version;
  }
  return 8;
}

}  // namespace

std::string export_onnx(const Graph& graph) {
  onnx::ModelProto model;
  const std::int64_t opset = GraphWriter(graph, *model.mutable_graph()).run();
  model.set_ir_version(ir_version(opset));
  model.set_producer_name("konv");
  model.add_opset_import()->set_version(opset);
  if (model.ByteSizeLong() > INT32_MAX) {
    throw Error(fmt::format("the ONNX file would have {} bytes; expected at most 2 GiB", model.ByteSizeLong()));
  }
  return model.SerializeAsString();
}

}  // namespace konv::converter
