// What is wrong with an ONNX file is said in one line that names the node.
#include <doctest/doctest.h>

#include <cstdio>

#include <unistd.h>

#include "converter/import.h"
#include "tests/converter/onnx_model.h"

namespace konv::test {
namespace {

std::string import_error(const OnnxModel& model) {
  const TemporaryFolder folder;
  const std::string path = model.write(folder);
  return error_of(folder, [&] { converter::import_onnx(path); });
}

std::string import_error(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.write("model.onnx", bytes).string();
  return error_of(folder, [&] { converter::import_onnx(path); });
}

}  // namespace

TEST_CASE("onnx: unknown operators are listed all together") {
  OnnxModel model;
  model.node("Foo", {"x"}, {"a"}, "n1");
  model.node("Relu", {"a"}, {"b"}, "n2");
  model.node("Bar", {"b"}, {"y"}, "n7").set_domain("com.x");
  model.output("y");
  CHECK(import_error(model) ==
        "model.onnx: 2 operators are unknown: 'Foo' (node 'n1'), 'Bar' from domain com.x (node 'n7'); expected operators of konv (README "
        "lists them)");
}

TEST_CASE("onnx: unknown attributes are listed all together") {
  OnnxModel model;
  attribute(model.node("Relu", {"x"}, {"a"}, "r"), "slope", onnx::AttributeProto::FLOAT);
  attribute(model.node("Flatten", {"a"}, {"y"}, "f"), "axes", onnx::AttributeProto::INTS);
  model.output("y");
  CHECK(import_error(model) == "model.onnx: unknown attributes: 'slope' of node 'r' (Relu), 'axes' of node 'f' (Flatten)");
}

TEST_CASE("onnx: what cannot be imported is refused with its node") {
  SUBCASE("a mask of the input's type") {
    OnnxModel model(7);
    model.node("Dropout", {"x"}, {"d", "mask"}, "drop");
    model.output("mask");
    CHECK(contains(import_error(model), "node 'drop' (Dropout): its mask is read and of the input's type"));
  }
  SUBCASE("statistics that are an output") {
    OnnxModel model(8);
    for (const char* name : {"s", "b", "m", "v"}) model.floats(name, {2}, {1, 1});
    attribute(model.node("BatchNormalization", {"x", "s", "b", "m", "v"}, {"y", "mean"}, "bn"), "spatial", onnx::AttributeProto::INT)
        .set_i(1);
    model.output("mean");
    CHECK(contains(import_error(model), "node 'bn' (BatchNormalization): its output 'mean' (statistics of training mode) is read"));
  }
  SUBCASE("parts that do not add up") {
    OnnxModel model;
    model.ints("parts", {1, 1, 1});
    model.node("Split", {"x", "parts"}, {"a", "b"}, "split");
    model.output("b");
    CHECK(import_error(model) == "model.onnx: node 'split' (Split): 3 sizes for 2 outputs; expected one for each");
  }
  SUBCASE("names that are none") {
    OnnxModel model;
    model.floats("scales", {4}, {1, 1, 2, 2});
    attribute(model.node("Resize", {"x", "", "scales"}, {"y"}, "up"), "mode", onnx::AttributeProto::STRING).set_s("lanczos");
    model.output("y");
    CHECK(import_error(model) == "model.onnx: node 'up' (Resize): mode is 'lanczos'; expected one of nearest, linear, cubic");
  }
  SUBCASE("two ways to say a size") {
    OnnxModel model;
    model.floats("scales", {4}, {1, 1, 2, 2});
    model.ints("sizes", {1, 2, 8, 8});
    model.node("Resize", {"x", "", "scales", "sizes"}, {"y"}, "up");
    model.output("y");
    CHECK(import_error(model) == "model.onnx: node 'up' (Resize): scales and sizes; expected one of them");
  }
  SUBCASE("training mode") {
    OnnxModel model;
    for (const char* name : {"s", "b", "m", "v"}) model.floats(name, {2}, {1, 1});
    attribute(model.node("BatchNormalization", {"x", "s", "b", "m", "v"}, {"y"}, "bn"), "training_mode", onnx::AttributeProto::INT)
        .set_i(1);
    model.output("y");
    CHECK(contains(import_error(model), "node 'bn' (BatchNormalization): is in training mode"));
  }
  SUBCASE("a kernel_shape that is not the weight's") {
    OnnxModel model;
    model.floats("w", {1, 2, 1, 1}, {1, 1});
    onnx::AttributeProto& kernel = attribute(model.node("Conv", {"x", "w"}, {"y"}, "conv"), "kernel_shape", onnx::AttributeProto::INTS);
    kernel.add_ints(3);
    kernel.add_ints(3);
    model.output("y");
    CHECK(import_error(model) ==
          "model.onnx: node 'conv' (Conv): kernel_shape is 3x3 and the weight has shape 1x2x1x1; expected them to agree");
  }
  SUBCASE("an attribute of another type") {
    OnnxModel model;
    attribute(model.node("Flatten", {"x"}, {"y"}, "f"), "axis", onnx::AttributeProto::FLOAT);
    model.output("y");
    CHECK(import_error(model) == "model.onnx: node 'f' (Flatten): attribute axis is of another type; expected an integer");
  }
  SUBCASE("values nobody produces, and values produced twice") {
    OnnxModel model;
    model.node("Relu", {"nothing"}, {"y"}, "r");
    model.output("y");
    CHECK(import_error(model) == "model.onnx: node 'r' (Relu): reads 'nothing', which nothing before it produces");
    OnnxModel twice;
    twice.node("Relu", {"x"}, {"y"}, "a");
    twice.node("Relu", {"x"}, {"y"}, "b");
    CHECK(contains(import_error(twice), "node 'b' (Relu): produces 'y', which is there already"));
    OnnxModel output;
    output.output("z");
    CHECK(import_error(output) == "model.onnx: output 'z' is produced by nobody");
  }
  SUBCASE("the number of inputs") {
    OnnxModel model;
    model.node("Add", {"x"}, {"y"}, "a");
    CHECK(import_error(model) == "model.onnx: node 'a' (Add): has 1 inputs; expected 2 to 2");
  }
  SUBCASE("opsets") { CHECK(contains(import_error(OnnxModel(5)), "is written for opset 5; expected 6 or newer")); }
}

TEST_CASE("onnx: tensors that do not add up") {
  const auto with = [](const auto& change) {
    OnnxModel model;
    change(model);
    model.node("Relu", {"x"}, {"y"});
    model.output("y");
    return import_error(model);
  };
  CHECK(with([](OnnxModel& m) { m.floats("w", {3}, {1, 2}); }) == "model.onnx: initializer 'w' has 2 elements; expected 3 for its shape 3");
  CHECK(contains(with([](OnnxModel& m) { m.initializer("w", 8, {0}); }), "initializer 'w' has element type 8 (string)"));
  CHECK(contains(with([](OnnxModel& m) { m.initializer("w", 99, {0}); }), "has element type 99"));
  CHECK(contains(with([](OnnxModel& m) { m.initializer("w", 1, {-1}); }), "initializer 'w'"));
  CHECK(contains(with([](OnnxModel& m) { m.initializer("w", 1, {INT64_MAX, INT64_MAX}); }), "initializer 'w'"));
  CHECK(contains(with([](OnnxModel& m) { m.initializer("w", 1, {INT64_MAX / 8}); }), "initializer 'w'"));
  CHECK(contains(with([](OnnxModel& m) { m.initializer("w", 1, {2}).set_raw_data("abc"); }), "has 3 bytes; expected 8"));
  CHECK(contains(with([](OnnxModel& m) {
                   m.floats("x", {1}, {1});
                   m.floats("x", {1}, {1});
                 }),
                 "value 'x' is defined twice"));
}

TEST_CASE("onnx: files that are something else") {
  CHECK(import_error(std::string("This is a text, not a model.\n")) ==
        "model.onnx: cannot be parsed as ONNX, is text that begins with \"This is a text, \"; expected a ModelProto");
  CHECK(contains(import_error(std::string("")), "is empty"));
  CHECK(contains(import_error(std::string(100, '\0')), "cannot be parsed as ONNX"));
  CHECK(contains(message_of([] { converter::import_onnx("/nonexistent/model.onnx"); }), "/nonexistent/model.onnx: cannot be opened"));
  CHECK(contains(message_of([] { converter::import_onnx("/tmp"); }), "is a folder"));
}

TEST_CASE("onnx: damaged files are refused or read, quietly") {
  // Standard error goes to a file meanwhile: protobuf likes to write there.
  const TemporaryFolder folder;
  std::fflush(stderr);
  const int kept = ::dup(2);
  std::FILE* const file = std::fopen((folder / "stderr").c_str(), "wb");
  REQUIRE(file);
  ::dup2(::fileno(file), 2);
  int refused = 0;
  const auto read = [](const std::string& path) { converter::import_onnx(path); };
  for (const char* name : {"pooling_7.onnx", "shape_dynamic.onnx"})
    refused += read_damaged(read_bytes(fixture(name)), 1, "model.onnx", read);
  for (const char* name : {"storage.onnx", "convolution_1d.onnx"})
    refused += read_damaged(read_bytes(fixture(name)), 5, "model.onnx", read);
  for (const char* name : {"shape_18.onnx", "exported_17.onnx"}) refused += read_damaged(read_bytes(fixture(name)), 64, "model.onnx", read);
  ::dup2(kept, 2);
  ::close(kept);
  std::fclose(file);
  CHECK(refused > 2000);
  CHECK(read_bytes(folder / "stderr") == "");
}

}  // namespace konv::test
