// Checkpoints as PyTorch and safetensors write them. In the fixtures element i of a tensor is i (floats: i / 8), or as its name says.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "converter/import.h"
#include "tests/converter/fixtures.h"

namespace konv::test {
namespace {

std::vector<double> values(const Tensor& tensor) {
  if (!is_float(tensor.dtype)) {
    const std::vector<std::int64_t> ints = to_i64(tensor);
    return {ints.begin(), ints.end()};
  }
  const std::vector<float> floats = to_f32(tensor);
  return {floats.begin(), floats.end()};
}

void check_elements(const models::StateDict& tensors, const std::string& name, Dims dims, DType dtype, double begin, double step) {
  CAPTURE(name);
  const auto found = tensors.find(name);
  REQUIRE(found != tensors.end());
  CHECK(found->second.dims == dims);
  CHECK(found->second.dtype == dtype);
  const std::vector<double> elements = values(found->second);
  CHECK(static_cast<std::int64_t>(elements.size()) == element_count(dims));
  for (std::size_t i = 0; i < elements.size(); ++i) CHECK(elements[i] == begin + step * static_cast<double>(i));
}

/// The tensors of fixtures_checkpoints.tensors().
void check_tensors(const models::StateDict& tensors) {
  check_elements(tensors, "f32", {2, 3}, DType::float32, 0, 0.125);
  check_elements(tensors, "f64", {2, 3}, DType::float64, 0, 0.125);
  check_elements(tensors, "f16", {2, 3}, DType::float16, 0, 0.125);
  check_elements(tensors, "bf16", {2, 3}, DType::bfloat16, 0, 0.125);
  check_elements(tensors, "i64", {2, 3}, DType::int64, 0, 1);
  check_elements(tensors, "i32", {2, 3}, DType::int32, 0, 1);
  check_elements(tensors, "i16", {2, 3}, DType::int16, 0, 1);
  check_elements(tensors, "i8", {2, 3}, DType::int8, 0, 1);
  check_elements(tensors, "u8", {2, 3}, DType::uint8, 0, 1);
  check_elements(tensors, "u16", {2, 3}, DType::uint16, 0, 1);
  CHECK(values(tensors.at("bool")) == std::vector<double>{1, 0, 1});
  check_elements(tensors, "transposed", {3, 4}, DType::float32, 0, 0.125);
  check_elements(tensors, "permuted", {2, 3, 4, 5}, DType::float32, 0, 0.125);
  check_elements(tensors, "shared_all", {6, 4}, DType::float32, 0, 0.125);
  check_elements(tensors, "shared_tail_from_12", {3, 4}, DType::float32, 12 / 8.0, 0.125);
  check_elements(tensors, "shared_even_columns", {6, 2}, DType::float32, 0, 0.25);
  check_elements(tensors, "expanded_zeros", {5}, DType::float32, 0, 0);
  check_elements(tensors, "scalar", {}, DType::float32, 0, 0);
  check_elements(tensors, "empty", {0, 3}, DType::float32, 0, 0);
  check_elements(tensors, "parameter", {4}, DType::float32, 0, 0.125);
  CHECK(tensors.size() == 20);  // num_batches_tracked is not among them
  for (const auto& [name, tensor] : tensors) CHECK_MESSAGE(reinterpret_cast<std::uintptr_t>(tensor.bytes.get()) % 16 == 0, name);
}

std::string read_error(const std::string& name) {
  const std::string message = message_of([&] { converter::read_checkpoint(fixture(name)); });
  const std::size_t folder = message.find(fixture(""));
  return folder == 0 ? message.substr(fixture("").size()) : message;
}

}  // namespace

TEST_CASE("checkpoint: the zip format, nested and with a prefix") {
  check_tensors(converter::read_pytorch(fixture("trainer.pt")));
  check_tensors(converter::read_checkpoint(fixture("trainer.pt")));
}

TEST_CASE("checkpoint: the legacy format") {
  check_tensors(converter::read_pytorch(fixture("trainer_legacy.pt")));
  check_tensors(converter::read_checkpoint(fixture("trainer_legacy.pt")));
}

TEST_CASE("checkpoint: safetensors") {
  check_tensors(converter::read_safetensors(fixture("tensors.safetensors")));
  check_tensors(converter::read_checkpoint(fixture("tensors.safetensors")));
}

TEST_CASE("checkpoint: other protocols, byte orders and compression") {
  for (const char* name : {"plain_protocol4.pt", "big_endian.pt", "deflated.pt"}) {
    check_elements(converter::read_checkpoint(fixture(name)), "f32", {2, 3}, DType::float32, 0, 0.125);
  }
}

TEST_CASE("checkpoint: a moving average goes before the plain weights") {
  check_elements(converter::read_checkpoint(fixture("average.pt")), "w", {2}, DType::float32, 0, 0.125);
}

TEST_CASE("checkpoint: what holds no tensors says what it holds") {
  const std::string advice =
      "whose code konv cannot run; expected a dictionary of tensors: save it with torch.save(model.state_dict(), ...)";
  CHECK(read_error("module.pt") == "module.pt: holds a pickled object of class 'torch.nn.modules.linear.Linear', " + advice);
  CHECK(read_error("module_legacy.pt") == "module_legacy.pt: holds a pickled object of class 'torch.nn.modules.linear.Linear', " + advice);
  CHECK(contains(read_error("scripted.pt"), "scripted.pt: is a TorchScript program"));
  CHECK(contains(read_error("no_tensors.pt"), "no_tensors.pt: holds no tensors; expected a state dict"));
  CHECK(contains(read_error("complex.pt"), "complex.pt: tensor 'w' lies in a storage of class 'torch.ComplexFloatStorage'"));
  CHECK(contains(read_error("storage.onnx"), "expected a PyTorch checkpoint or a safetensors file"));
  CHECK(contains(read_error("missing.pt"), "missing.pt: cannot be opened"));
}

TEST_CASE("checkpoint: archives that unfold to far more than they are are refused") {
  CHECK(contains(read_error("bomb.pt"), "far more bytes than the file has"));
}

TEST_CASE("checkpoint: damaged files are refused or read") {
  int refused = 0;
  const auto read = [](const std::string& path) { converter::read_checkpoint(path); };
  for (const char* name : {"average.pt", "deflated.pt", "tensors.safetensors"})
    refused += read_damaged(read_bytes(fixture(name)), 1, "damaged", read);
  for (const char* name : {"big_endian.pt", "trainer_legacy.pt"}) refused += read_damaged(read_bytes(fixture(name)), 5, "damaged", read);
  refused += read_damaged(read_bytes(fixture("trainer.pt")), 64, "damaged", read);
  CHECK(refused > 5000);
}

TEST_CASE("checkpoint: safetensors headers that do not add up") {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& header, std::size_t data) {
    std::string bytes(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i));
    const std::string path = folder.write("w.safetensors", bytes + header + std::string(data, '\0')).string();
    return error_of(folder, [&] { converter::read_checkpoint(path); });
  };
  CHECK(read(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8) == "");
  CHECK(
      read(
          R"({"__metadata__":{"x":"y"},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
          9) == "");
  CHECK(contains(read(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9), "has 9 bytes of tensors; expected the 8"));
  CHECK(contains(read(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12), "tensor 'a' begins at byte 4; expected 0"));
  CHECK(contains(read(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})", 6),
                 "no overlaps"));
  CHECK(contains(read(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
                 "twice"));
  CHECK(contains(read(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "tensor 'a' has 8 bytes; expected those of 3"));
  CHECK(contains(read(R"({"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]}})", 3), "dtype 'F8_E4M3'"));
  CHECK(contains(read(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0), "tensor 'a'"));
  CHECK(contains(read(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4), "no list of integers from 0 up"));
  CHECK(contains(read(R"({"a":7})", 4), "is not described"));
  CHECK(contains(read(R"({"a":{]})", 4), "not a JSON object"));
}

TEST_CASE("checkpoint: a ResNet-20 of somebody else, legacy format") {
  const char* data = std::getenv("KONV_DATA");
  const std::string path = std::string(data ? data : "") + "/resnet20-12fca82f.th";
  if (!data || !std::filesystem::exists(path)) {
    MESSAGE("konv-skipped: KONV_DATA holds no resnet20-12fca82f.th");
    return;
  }
  const models::StateDict weights = converter::read_checkpoint(path);
  std::int64_t parameters = 0;
  for (const auto& [name, tensor] : weights) {
    if (!name.ends_with("running_mean") && !name.ends_with("running_var")) parameters += tensor.count();
  }
  CHECK(parameters == 269'722);
  const Graph graph = models::find_architecture("resnet20").build(weights);
  CHECK(to_string(*graph.value(graph.outputs().front()).shape) == "Nx10");
}

}  // namespace konv::test
