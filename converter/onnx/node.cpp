#include "converter/onnx/node.h"

#include <utility>

#include <fmt/format.h>

#include "engine/base/text.h"
#include "engine/graph/infer.h"

namespace konv::converter {

using onnx::AttributeProto;

std::string node_name(const onnx::NodeProto& proto) {
  if (!proto.name().empty()) return proto.name();
  return fmt::format("{}_{}", proto.op_type(), proto.output_size() > 0 ? proto.output(0) : "");
}

NodeReader::NodeReader(Import& import, const onnx::NodeProto& proto) : import_(import), proto_(proto), name_(node_name(proto)) {}

std::string NodeReader::where() const { return fmt::format("node '{}' ({})", printable(name_), printable(proto_.op_type())); }

void NodeReader::fail(const std::string& fact) const { throw Error(fmt::format("{}: {}", where(), fact)); }

// Attributes.

const AttributeProto* NodeReader::attribute(const char* name) {
  asked_.insert(name);
  for (const AttributeProto& attribute : proto_.attribute()) {
    if (attribute.name() != name) continue;
    if (!attribute.ref_attr_name().empty()) fail(fmt::format("attribute {} refers to a function's; expected a value", name));
    return &attribute;
  }
  return nullptr;
}

const AttributeProto* NodeReader::typed(const char* name, AttributeProto::AttributeType type, const char* what) {
  const AttributeProto* found = attribute(name);
  // Writers of IR version 1 left the type out.
  if (found && found->type() != type && found->type() != AttributeProto::UNDEFINED)
    fail(fmt::format("attribute {} is of another type; expected {}", name, what));
  return found;
}

std::int64_t NodeReader::integer(const char* name, std::int64_t fallback) {
  const AttributeProto* found = typed(name, AttributeProto::INT, "an integer");
  return found ? found->i() : fallback;
}

float NodeReader::real(const char* name, float fallback) {
  const AttributeProto* found = typed(name, AttributeProto::FLOAT, "a float");
  return found ? found->f() : fallback;
}

std::string NodeReader::text(const char* name, const char* fallback) {
  const AttributeProto* found = typed(name, AttributeProto::STRING, "a text");
  return found ? found->s() : fallback;
}

std::optional<Ints> NodeReader::integers(const char* name) {
  const AttributeProto* found = typed(name, AttributeProto::INTS, "a list of integers");
  if (!found) return {};
  return Ints(found->ints().begin(), found->ints().end());
}

std::optional<std::vector<float>> NodeReader::reals(const char* name) {
  const AttributeProto* found = typed(name, AttributeProto::FLOATS, "a list of floats");
  if (!found) return {};
  return std::vector<float>(found->floats().begin(), found->floats().end());
}

Tensor NodeReader::tensor(const onnx::TensorProto& proto) {
  try {
    return import_.tensors.read(proto);
  } catch (const Error& error) {
    fail(fmt::format("its tensor {}", error.what()));
  }
}

Tensor NodeReader::tensor(const onnx::SparseTensorProto& proto) {
  try {
    return import_.tensors.read(proto);
  } catch (const Error& error) {
    fail(fmt::format("its tensor {}", error.what()));
  }
}

void NodeReader::check_attributes() const {
  for (const AttributeProto& attribute : proto_.attribute()) {
    if (asked_.contains(attribute.name())) continue;
    import_.problems.push_back(fmt::format("'{}' of {}", printable(attribute.name()), where()));
  }
}

// Inputs.

ValueId NodeReader::input(int i, const char* what) {
  if (!has(i)) fail(fmt::format("has no input {} ({})", i, what));
  const auto found = import_.values.find(proto_.input(i));
  if (found == import_.values.end()) fail(fmt::format("reads '{}', which nothing before it produces", printable(proto_.input(i))));
  return found->second;
}

const Tensor& NodeReader::constant_tensor(int i, const char* what) {
  const Tensor* tensor = graph().constant(input(i, what));
  if (!tensor) fail(fmt::format("{} is computed; expected a constant", what));
  return *tensor;
}

Ints NodeReader::constant_integers(int i, const char* what) {
  const Tensor& tensor = constant_tensor(i, what);
  if (is_float(tensor.dtype)) fail(fmt::format("{} is of {}; expected integers", what, konv::name(tensor.dtype)));
  if (tensor.dims.size() > 1) fail(fmt::format("{} has shape {}; expected one dimension", what, to_string(tensor.dims)));
  return to_i64(tensor);
}

float NodeReader::constant_real(int i, const char* what) {
  const Tensor& tensor = constant_tensor(i, what);
  if (tensor.count() != 1) fail(fmt::format("{} has shape {}; expected one element", what, to_string(tensor.dims)));
  return is_float(tensor.dtype) ? to_f32(tensor)[0] : static_cast<float>(to_i64(tensor)[0]);
}

ValueId NodeReader::int64_input(int i, const char* what) {
  const ValueId value = input(i, what);
  if (const Tensor* tensor = graph().constant(value)) {
    if (is_float(tensor->dtype)) fail(fmt::format("{} is of {}; expected integers", what, konv::name(tensor->dtype)));
    if (tensor->dtype == DType::int64) return value;
    return graph().add_constant(graph().value(value).name + ".int64", make_i64(tensor->dims, to_i64(*tensor)));
  }
  if (dtype(value) == DType::int64) return value;
  return emit(what, Cast{DType::int64}, {value});
}

ValueId NodeReader::constant(const char* what, const Ints& values) {
  return graph().add_constant(name_ + "." + what, make_i64({static_cast<std::int64_t>(values.size())}, values));
}

ValueId NodeReader::constant(const char* what, Tensor tensor) { return graph().add_constant(name_ + "." + what, std::move(tensor)); }

const Fact& NodeReader::fact(ValueId value) {
  if (static_cast<std::size_t>(value.index) >= import_.facts.size()) extend(graph(), import_.facts);
  return import_.facts[static_cast<std::size_t>(value.index)];
}

std::int64_t NodeReader::rank(ValueId value, const char* what) {
  const std::optional<Shape>& shape = fact(value).shape;
  if (!shape) fail(fmt::format("the number of dimensions of {} is unknown; expected a model whose inputs have shapes", what));
  return static_cast<std::int64_t>(shape->size());
}

// The result.

bool NodeReader::output_read(int output) const {
  return output < proto_.output_size() && !proto_.output(output).empty() && import_.read_names.contains(proto_.output(output));
}

void NodeReader::only_first_output(const char* others) {
  for (int i = 1; i < proto_.output_size(); ++i) {
    if (output_read(i)) fail(fmt::format("its output '{}' ({}) is read; expected nobody to need it", printable(proto_.output(i)), others));
  }
}

ValueId NodeReader::emit(const char* suffix, Op op, std::vector<ValueId> inputs) {
  return graph().add(fmt::format("{}.{}", name_, suffix), std::move(op), std::move(inputs));
}

void NodeReader::finish_output(int i, Op op, std::vector<ValueId> inputs) {
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  const std::string& result = proto_.output(i);
  if (import_.values.contains(result)) fail(fmt::format("produces '{}', which is there already", printable(result)));
  const ValueId value = graph().add_value(result);
  graph().add_node(Node{i == 0 ? name_ : fmt::format("{}.{}", name_, i), std::move(op), std::move(inputs), {value}});
  import_.values.emplace(result, value);
}

void NodeReader::finish_constant(Tensor tensor) {
  const std::string& result = proto_.output(0);
  if (import_.values.contains(result)) fail(fmt::format("produces '{}', which is there already", printable(result)));
  import_.values.emplace(result, graph().add_constant(result, std::move(tensor)));
}

}  // namespace konv::converter
