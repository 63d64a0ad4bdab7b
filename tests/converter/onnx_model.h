// ONNX models made by hand, for what no exporter writes.
#pragma once

#include <fstream>
#include <initializer_list>
#include <string>

#include <onnx/onnx_pb.h>

#include "tests/converter/fixtures.h"

namespace konv::test {

/// A model with the float input x of shape [1, 2, 4, 4].
struct OnnxModel {
  explicit OnnxModel(std::int64_t opset = 17) {
    proto.set_ir_version(8);
    proto.add_opset_import()->set_version(opset);
    onnx::ValueInfoProto& x = *proto.mutable_graph()->add_input();
    x.set_name("x");
    x.mutable_type()->mutable_tensor_type()->set_elem_type(1);
    for (const int size : {1, 2, 4, 4}) x.mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(size);
  }

  onnx::NodeProto& node(const std::string& op, std::initializer_list<std::string> inputs, std::initializer_list<std::string> outputs,
                        const std::string& name = "n") {
    onnx::NodeProto& node = *proto.mutable_graph()->add_node();
    node.set_op_type(op);
    node.set_name(name);
    for (const std::string& input : inputs) node.add_input(input);
    for (const std::string& output : outputs) node.add_output(output);
    return node;
  }

  void output(const std::string& name) { proto.mutable_graph()->add_output()->set_name(name); }

  onnx::TensorProto& initializer(const std::string& name, int type, std::initializer_list<std::int64_t> dims) {
    onnx::TensorProto& tensor = *proto.mutable_graph()->add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const std::int64_t size : dims) tensor.add_dims(size);
    return tensor;
  }

  void floats(const std::string& name, std::initializer_list<std::int64_t> dims, std::initializer_list<float> values) {
    onnx::TensorProto& tensor = initializer(name, 1, dims);
    for (const float value : values) tensor.add_float_data(value);
  }

  void ints(const std::string& name, std::initializer_list<std::int64_t> values) {
    onnx::TensorProto& tensor = initializer(name, 7, {static_cast<std::int64_t>(values.size())});
    for (const std::int64_t value : values) tensor.add_int64_data(value);
  }

  std::string write(const TemporaryFolder& folder, const std::string& name = "model.onnx") const {
    return folder.write(name, proto.SerializeAsString()).string();
  }

  onnx::ModelProto proto;
};

inline onnx::AttributeProto& attribute(onnx::NodeProto& node, const std::string& name, onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

}  // namespace konv::test
