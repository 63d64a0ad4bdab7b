// Models of all operators, in the forms of old and new opsets: imported, run by the reference, compared with what onnxruntime computed.
#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include "converter/import.h"
#include "converter/onnx/operators.h"
#include "tests/converter/onnx_model.h"
#include "tests/support/compare.h"
#include "tests/support/reference.h"

namespace konv::test {
namespace {

const Tensor& constant(const Graph& graph, const std::string& name) {
  const std::optional<ValueId> id = graph.find_value(name);
  REQUIRE_MESSAGE(id.has_value(), name);
  REQUIRE_MESSAGE(graph.constant(*id), name);
  return *graph.constant(*id);
}

/// Runs a fixture on its "given:x" and compares all outputs with their "expected:...". Returns how many there were.
int check_model(const std::string& path) {
  CAPTURE(path);
  const Graph graph = converter::import_onnx(path);
  const std::vector<Tensor> results = run_reference(graph, {{"x", constant(graph, "given:x")}});
  REQUIRE(results.size() == graph.outputs().size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::string name = graph.value(graph.outputs()[i]).name;
    CAPTURE(name);
    CAPTURE(graph.node(graph.producer(graph.outputs()[i])).name);
    const Tensor& expected = constant(graph, "expected:" + name);
    CHECK(results[i].dims == expected.dims);
    CHECK_CLOSE(results[i], expected, tolerance(DType::float32, 200, 2));
  }
  return static_cast<int>(results.size());
}

}  // namespace

TEST_CASE("onnx: operators in all their forms compute what onnxruntime computes") {
  int models = 0, outputs = 0;
  std::set<std::string> operators;
  for (const auto& entry : std::filesystem::directory_iterator(fixture(""))) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() != ".onnx" || name == "storage.onnx") continue;
    outputs += check_model(entry.path().string());
    ++models;
    onnx::ModelProto proto;
    REQUIRE(proto.ParseFromString(read_bytes(entry.path())));
    for (const onnx::NodeProto& node : proto.graph().node()) operators.insert(node.op_type());
  }
  CHECK(models >= 15);
  CHECK(outputs >= 110);
  std::ifstream backend(KONV_SOURCE_DIR "/tests/onnx_backend/operators.txt");  // those have the onnx package's cases
  for (std::string name; backend >> name;) operators.insert(name);
  for (const converter::OperatorImporter& importer : converter::operator_importers()) {
    CHECK_MESSAGE(operators.contains(importer.name), std::string(importer.name), " is in no fixture and no backend case");
  }
}

TEST_CASE("onnx: initializers of all types, in typed fields and raw") {
  const Graph graph = converter::import_onnx(fixture("storage.onnx"));
  int checked = 0;
  for (const std::string form : {"field_", "raw_"}) {
    for (const char* type : {"float", "uint8", "int8", "uint16", "int16", "int32", "int64", "bool", "float16", "double", "uint32", "uint64",
                             "bfloat16", "uint4", "int4"}) {
      CAPTURE(form + type);
      const Tensor& tensor = constant(graph, form + type);
      CHECK(tensor.dims == Dims{std::string(type) == "bool" ? 2 : 7});
      if (is_float(tensor.dtype)) {
        const std::vector<float> values = to_f32(tensor);
        for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == static_cast<float>(i));
      } else {
        const std::vector<std::int64_t> values = to_i64(tensor);
        for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == static_cast<std::int64_t>(i));
      }
      ++checked;
    }
  }
  CHECK(checked == 30);
  CHECK(constant(graph, "raw_bfloat16").dtype == DType::bfloat16);
  CHECK(constant(graph, "field_int4").dtype == DType::int4);
  CHECK(constant(graph, "alternating_int2").dtype == DType::int2);
  CHECK(to_i64(constant(graph, "alternating_uint2")) == std::vector<std::int64_t>{0, 1, 0, 1, 0});
  CHECK(to_f32(constant(graph, "sparse")) == std::vector<float>{0, 1, 0, 0, 0, 5});
  // An initializer that is listed among the inputs is a constant.
  CHECK(graph.inputs().size() == 1);
}

TEST_CASE("onnx: names, symbols and the source are kept") {
  const Graph graph = converter::import_onnx(fixture("convolution_17.onnx"));
  CHECK(graph.metadata.source == "convolution_17.onnx (ONNX, konv fixtures, opset 17)");
  const Value& x = graph.value(graph.inputs().front());
  CHECK(x.name == "x");
  REQUIRE(x.shape);
  CHECK(to_string(*x.shape) == "Nx4x5x6");
  const std::optional<ValueId> v0 = graph.find_value("v0");
  REQUIRE(v0);
  CHECK(graph.node(graph.producer(*v0)).name == "Conv0");
}

TEST_CASE("onnx: exported models have known output shapes") {
  for (const char* name : {"exported_11.onnx", "exported_17.onnx", "exported_dynamo.onnx"}) {
    const Graph graph = converter::import_onnx(fixture(name));
    CHECK(to_string(*graph.value(graph.outputs().front()).shape) == (std::string(name) == "exported_11.onnx" ? "batchx5" : "2x5"));
  }
}

TEST_CASE("onnx: nodes without names get one, unknown shapes stay open") {
  const TemporaryFolder folder;
  OnnxModel model;
  model.node("Relu", {"x"}, {"y"}, "");
  model.output("y");
  auto& shape = *model.proto.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  shape.mutable_dim(0)->set_dim_param("batch");
  shape.mutable_dim(2)->clear_value();
  shape.mutable_dim(3)->set_dim_value(-1);
  const Graph graph = converter::import_onnx(model.write(folder));
  CHECK(graph.node(graph.nodes().front()).name == "Relu_y");
  CHECK(to_string(*graph.value(graph.outputs().front()).shape) == "batchx2x?x?");

  model.proto.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  const std::string path = model.write(folder);
  CHECK(contains(error_of(folder, [&] { converter::import_onnx(path); }), "model.onnx: input 'x': has no shape"));
}

TEST_CASE("onnx: external data stays in the model's folder and inside its file") {
  const TemporaryFolder folder;
  folder.write("model/weights.bin", std::string(64, '\0'));
  folder.write("outside.bin", std::string(64, '\0'));
  std::filesystem::create_symlink(folder / "outside.bin", folder / "model/link.bin");
  const auto import_with = [&](const std::string& location, const std::string& offset, const std::string& length) {
    OnnxModel model;
    model.node("Mul", {"x", "w"}, {"y"});
    model.output("y");
    onnx::TensorProto& w = model.initializer("w", 1, {4});
    w.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, value] : {std::pair<std::string, std::string>{"location", location}, {"offset", offset}, {"length", length}}) {
      if (value.empty()) continue;
      w.add_external_data()->set_key(key);
      w.mutable_external_data(w.external_data_size() - 1)->set_value(value);
    }
    const std::string path = model.write(folder, "model/model.onnx");
    return error_of(folder, [&] { converter::import_onnx(path); });
  };
  CHECK(import_with("weights.bin", "", "") == "");
  CHECK(import_with("weights.bin", "48", "16") == "");
  CHECK(contains(import_with("weights.bin", "49", "16"), "initializer 'w' lies at bytes 49 to 65 of 'weights.bin', which has 64"));
  CHECK(contains(import_with("weights.bin", "18446744073709551615", "16"), "which has 64"));
  CHECK(contains(import_with("weights.bin", "0", "17"), "has 17 external bytes; expected 16"));
  CHECK(contains(import_with("weights.bin", "-1", "16"), "expected a number"));
  CHECK(contains(import_with("../outside.bin", "", ""), "outside the model's folder"));
  CHECK(contains(import_with("link.bin", "", ""), "outside the model's folder"));
  CHECK(contains(import_with((folder / "outside.bin").string(), "", ""), "not relative"));
  CHECK(contains(import_with("missing.bin", "", ""), "cannot be found"));
  CHECK(contains(import_with(".", "", ""), "is a folder"));
  CHECK(contains(import_with("", "", ""), "has no location"));
}

}  // namespace konv::test
