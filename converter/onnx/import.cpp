// An ONNX file as a Graph.

#include "converter/import.h"

#include <filesystem>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "converter/mapped_file.h"
#include "converter/onnx/operators.h"
#include "engine/base/text.h"
#include "engine/format/recognize.h"

namespace konv::converter {
namespace {

/// Protobuf's ParseFrom* functions write to stderr when a message is incomplete; the Merge* ones only say so.
onnx::ModelProto parse(const MappedFile& file) {
  constexpr std::size_t kMaxMessage = INT32_MAX;
  if (file.size > kMaxMessage) {
    throw Error(fmt::format("has {} bytes; expected 2 GiB at most (larger models keep their weights in external data)", file.size));
  }
  onnx::ModelProto model;
  google::protobuf::io::ArrayInputStream raw(file.bytes.get(), static_cast<int>(file.size));
  google::protobuf::io::CodedInputStream coded(&raw);
  const bool parsed = model.MergePartialFromCodedStream(&coded) && coded.ConsumedEntireMessage() && model.IsInitialized();
  if (!parsed || !model.has_graph())
    throw Error(fmt::format("cannot be parsed as ONNX, {}; expected a ModelProto", format::describe_beginning(file.span())));
  return model;
}

bool is_main_domain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

std::int64_t find_opset(const onnx::ModelProto& model) {
  std::int64_t opset = 0;
  for (const onnx::OperatorSetIdProto& import : model.opset_import()) {
    if (is_main_domain(import.domain())) opset = import.version();
  }
  if (opset < kOldestOpset) throw Error(fmt::format("is written for opset {}; expected {} or newer", opset, kOldestOpset));
  return opset;
}

constexpr std::size_t kMaxSymbol = 64;  // bytes, as model files allow; longer names are expressions of some exporter

/// Sizes that are named or missing, and zero or less (as some exporters write a free batch size), stay open.
Shape read_shape(const onnx::TensorShapeProto& proto) {
  Shape shape;
  for (const auto& dim : proto.dim()) {
    if (dim.has_dim_value() && dim.dim_value() > 0)
      shape.emplace_back(dim.dim_value());
    else if (dim.has_dim_param() && !dim.dim_param().empty() && dim.dim_param().size() <= kMaxSymbol)
      shape.push_back(Dim::symbol(dim.dim_param()));
    else
      shape.emplace_back();
  }
  return shape;
}

void add_value(Import& import, const std::string& name, ValueId value) {
  if (!import.values.emplace(name, value).second) throw Error(fmt::format("value '{}' is defined twice", printable(name)));
}

/// Takes the tensors out of the file as it goes: weights need not lie in memory twice.
void add_initializers(Import& import, onnx::GraphProto& graph) {
  const auto add = [&](const std::string& name, const auto& proto) {
    try {
      add_value(import, name, import.graph.add_constant(name, import.tensors.read(proto)));
    } catch (const Error& error) {
      throw Error(fmt::format("initializer '{}' {}", printable(name), error.what()));
    }
  };
  for (onnx::TensorProto& tensor : *graph.mutable_initializer()) {
    add(tensor.name(), tensor);
    onnx::TensorProto().Swap(&tensor);  // Clear() would keep the memory
  }
  for (const onnx::SparseTensorProto& tensor : graph.sparse_initializer()) add(tensor.values().name(), tensor);
}

/// Files before IR version 4 list initializers among the inputs: those are constants all the same.
void add_inputs(Import& import, const onnx::GraphProto& graph) {
  for (const onnx::ValueInfoProto& input : graph.input()) {
    const auto known = import.values.find(input.name());
    if (known != import.values.end() && import.graph.constant(known->second)) continue;
    if (!input.type().has_tensor_type()) throw Error(fmt::format("input '{}' is no tensor; expected tensors", printable(input.name())));
    const auto& type = input.type().tensor_type();
    try {
      const ValueId value = import.graph.add_input(input.name(), require_dtype(type.elem_type()), read_shape(type.shape()));
      if (!type.has_shape()) import.graph.value(value).shape.reset();
      add_value(import, input.name(), value);
    } catch (const Error& error) {
      throw Error(fmt::format("input '{}' {}", printable(input.name()), error.what()));
    }
  }
}

/// All of them in one error: who wants to know what is missing wants to know all of it.
void refuse_unknown_operators(const onnx::GraphProto& graph) {
  std::vector<std::string> unknown;
  for (const onnx::NodeProto& node : graph.node()) {
    const bool main = is_main_domain(node.domain());
    if (main && find_operator(node.op_type())) continue;
    const std::string domain = main ? "" : fmt::format(" from domain {}", printable(node.domain()));
    unknown.push_back(fmt::format("'{}'{} (node '{}')", printable(node.op_type()), domain, printable(node_name(node))));
  }
  if (unknown.empty()) return;
  throw Error(fmt::format("{} unknown: {}; expected operators of konv (README lists them)",
                          unknown.size() == 1 ? "1 operator is" : fmt::format("{} operators are", unknown.size()),
                          fmt::join(unknown, ", ")));
}

void add_node(Import& import, const onnx::NodeProto& proto) {
  const OperatorImporter& importer = *find_operator(proto.op_type());
  NodeReader node(import, proto);
  if (proto.output_size() == 0 || proto.output(0).empty()) node.fail("has no output");
  if (proto.input_size() < importer.min_inputs || proto.input_size() > importer.max_inputs) {
    node.fail(fmt::format("has {} inputs; expected {} to {}", proto.input_size(), importer.min_inputs, importer.max_inputs));
  }
  importer.import(node);
  node.check_attributes();
}

Graph read_model(const std::string& path) {
  onnx::ModelProto model = parse(map_file(path));
  onnx::GraphProto& proto = *model.mutable_graph();
  Import import{
      .graph = {}, .opset = find_opset(model), .tensors = TensorReader(path), .values = {}, .read_names = {}, .problems = {}, .facts = {}};
  refuse_unknown_operators(proto);
  for (const onnx::NodeProto& node : proto.node()) import.read_names.insert(node.input().begin(), node.input().end());
  for (const onnx::ValueInfoProto& output : proto.output()) import.read_names.insert(output.name());

  add_initializers(import, proto);
  add_inputs(import, proto);
  for (const onnx::NodeProto& node : proto.node()) add_node(import, node);
  if (!import.problems.empty()) throw Error(fmt::format("unknown attributes: {}", fmt::join(import.problems, ", ")));
  for (const onnx::ValueInfoProto& output : proto.output()) {
    const auto found = import.values.find(output.name());
    if (found == import.values.end()) throw Error(fmt::format("output '{}' is produced by nobody", printable(output.name())));
    import.graph.add_output(found->second);
  }

  import.graph.name = proto.name();
  const std::string producer = model.producer_name() + (model.producer_version().empty() ? "" : " " + model.producer_version());
  import.graph.metadata.source = fmt::format("{} (ONNX{}{}, opset {})", std::filesystem::path(path).filename().string(),
                                             producer.empty() ? "" : ", ", printable(producer), import.opset);
  verify(import.graph);
  return std::move(import.graph);
}

}  // namespace

Graph import_onnx(const std::string& path) {
  return naming_file(path, [&] { return read_model(path); });
}

}  // namespace konv::converter
