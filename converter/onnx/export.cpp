// A Graph as an ONNX file.
#include "converter/onnx/export.h"

#include <algorithm>
#include <cstring>

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
}

void OnnxWriter::fail(const std::string& fact, const std::string& expected) const {
  throw Error(fmt::format("{}: {}; expected {}", label(*node_), fact, expected));
}

std::string OnnxWriter::input(int i) const {
  const ValueId id = node_->input(i);
  return id ? graph_.value(id).name : "";
}

std::string OnnxWriter::fresh(const std::string& suffix) {
  std::string name = fmt::format("{}.{}", node_->name, suffix);
  while (graph_.find_value(name)) name += fmt::format("_{}", ++made_);
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
  if (bits(tensor.dtype) < 8) throw Error("a pruned weight of less than 8 bits; expected whole bytes");
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

class GraphWriter {
 public:
  GraphWriter(const Graph& graph, onnx::GraphProto& proto) : graph_(graph), proto_(proto), writer_(graph, proto) {}

  std::int64_t run() {
    proto_.set_name(graph_.name.empty() ? "konv" : graph_.name);
    for (const ValueId id : graph_.inputs()) describe(*proto_.add_input(), graph_.value(id));
    for (int i = 0; i < graph_.value_count(); ++i) {
      if (graph_.constant(ValueId{i}) && graph_.reader_count(ValueId{i}) > 0) constant(ValueId{i});
    }
    for (const NodeId id : graph_.nodes()) {
      const Node& node = graph_.node(id);
      const Value& value = graph_.value(node.output());
      writer_.begin(node, value.quantization ? value.name + ".real" : value.name);
      export_node(writer_);
      if (!value.quantization) continue;
      // Rounded to its integers and back: what a quantized edge means.
      const Scale scale = scales(value, value.name);
      onnx::NodeProto& quantize = raw("QuantizeLinear", {value.name + ".real", scale.scale, scale.zero}, value.name + ".quantized");
      set(quantize, "axis", std::int64_t{value.quantization->axis});
      onnx::NodeProto& back = raw("DequantizeLinear", {value.name + ".quantized", scale.scale, scale.zero}, value.name);
      set(back, "axis", std::int64_t{value.quantization->axis});
    }
    for (const ValueId id : graph_.outputs()) describe(*proto_.add_output(), graph_.value(id));
    return writer_.opset();
  }

 private:
  struct Scale {
    std::string scale, zero;
  };

  Scale scales(const Value& value, const std::string& name) {
    const Quantization& q = *value.quantization;
    const bool one = q.scale.size() == 1;
    const Dims dims = one ? Dims{} : Dims{std::ssize(q.scale)};
    if (bits(value.dtype) < 8)
      throw Error(fmt::format("value '{}': is quantized to {}; expected 8 bits or more", name, konv::name(value.dtype)));
    if (bits(value.dtype) == 16) writer_.need_opset(21);
    MutableTensor zero(value.dtype, dims);
    const auto width = static_cast<std::size_t>(bits(value.dtype)) / 8;
    for (std::size_t i = 0; i < q.zero_point.size(); ++i) {
      const std::int64_t z = q.zero_point[i];
      std::memcpy(zero.bytes.get() + i * width, &z, width);  // little-endian: the low bytes come first
    }
    writer_.initializer(name + ".scale", make_f32(dims, q.scale));
    writer_.initializer(name + ".zero_point", zero);
    return {name + ".scale", name + ".zero_point"};
  }

  onnx::NodeProto& raw(const char* op, std::initializer_list<std::string> inputs, const std::string& output) {
    onnx::NodeProto& node = *proto_.add_node();
    node.set_op_type(op);
    node.set_name(output + "." + op);
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(output);
    return node;
  }

  void constant(ValueId id) {
    const Value& value = graph_.value(id);
    const Tensor tensor = value.kept_rows ? dense(*value.constant, *value.kept_rows) : *value.constant;
    if (!value.quantization) return writer_.initializer(value.name, tensor);
    if (is_float(value.dtype)) return writer_.initializer(value.name, real_weights(value));
    writer_.initializer(value.name + ".quantized", tensor);
    const Scale scale = scales(value, value.name);
    set(raw("DequantizeLinear", {value.name + ".quantized", scale.scale, scale.zero}, value.name), "axis",
        std::int64_t{value.quantization->axis});
  }

  const Graph& graph_;
  onnx::GraphProto& proto_;
  OnnxWriter writer_;
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
