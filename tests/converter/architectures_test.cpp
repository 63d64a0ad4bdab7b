// Networks built from checkpoints compute PyTorch's logits.
#include <doctest/doctest.h>

#include "converter/import.h"
#include "tests/converter/fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/reference.h"

namespace konv::test {
namespace {

models::StateDict weights_of(const std::string& name) {
  models::StateDict weights = converter::read_checkpoint(fixture(name + ".safetensors"));
  weights.erase("expected");
  return weights;
}

Graph build(const std::string& architecture, const models::StateDict& weights) {
  return models::find_architecture(architecture).build(weights);
}

std::string build_error(const std::string& architecture, const models::StateDict& weights) {
  return message_of([&] { build(architecture, weights); });
}

template <class Op>
int count(const Graph& graph) {
  int found = 0;
  for (const NodeId id : graph.nodes()) found += graph.as<Op>(id) != nullptr;
  return found;
}

}  // namespace

TEST_CASE("architectures: logits are PyTorch's") {
  struct Case {
    const char *file, *architecture;
    Dims input;
  };
  const Case cases[] = {
      {"resnet_option_a", "resnet", {2, 3, 32, 32}},
      {"resnet_shortcut", "resnet", {2, 3, 32, 32}},
      {"resnet_downsample", "resnet", {2, 3, 32, 32}},
      {"lenet_5", "lenet", {2, 3, 32, 32}},
      {"lenet_3", "lenet", {2, 3, 32, 32}},
      {"lenet_mnist", "lenet", {2, 1, 28, 28}},
      {"repvgg_trained", "repvgg", {2, 3, 32, 32}},
      {"repvgg_deployed", "repvgg", {2, 3, 32, 32}},
      {"vgg_bn", "vgg", {2, 3, 32, 32}},
      {"vgg_three", "vgg", {2, 3, 32, 32}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.file);
    const Graph graph = build(c.architecture, weights_of(c.file));
    const Value& input = graph.value(graph.inputs().at(0));
    CHECK(input.name == "input");
    CHECK(input.shape->at(0).symbol() == "N");
    CHECK(graph.value(graph.outputs().at(0)).name == "logits");
    const std::vector<Tensor> logits = run_reference(graph, {{"input", ramp(c.input)}});
    CHECK_CLOSE(logits.at(0), converter::read_checkpoint(fixture(std::string(c.file) + ".safetensors")).at("expected"), 1e-5);
  }
}

TEST_CASE("architectures: the weights konv ships fit theirs") {
  for (const auto& [file, architecture] : {std::pair<std::string, std::string>{"resnet20", "resnet20"},
                                           {"repvgg", "repvgg"},
                                           {"lenet3", "lenet"},
                                           {"lenet5", "lenet"},
                                           {"lenet7", "lenet"}}) {
    CAPTURE(file);
    const std::string path = KONV_SOURCE_DIR "/models/weights/" + file + ".safetensors";
    const Graph graph = build(architecture, converter::read_checkpoint(path));
    CHECK(to_string(*graph.value(graph.inputs().at(0)).shape) == "Nx3x32x32");
    CHECK(to_string(*graph.value(graph.outputs().at(0)).shape) == "Nx10");
  }
}

TEST_CASE("architectures: nothing is fused or folded") {
  const Graph repvgg = build("repvgg", weights_of("repvgg_trained"));
  CHECK(count<Conv>(repvgg) == 10);       // five blocks of two
  CHECK(count<BatchNorm>(repvgg) == 13);  // three of them with an identity branch
  const Graph resnet = build("resnet", weights_of("resnet_option_a"));
  CHECK(count<Slice>(resnet) == 2);
  CHECK(count<Pad>(resnet) == 2);
}

TEST_CASE("architectures: half-precision weights become float32") {
  models::StateDict weights = weights_of("lenet_5");
  const Tensor& bias = weights.at("fc3.bias");
  MutableTensor half(DType::float16, bias.dims);
  for (std::uint16_t& x : half.as<std::uint16_t>()) x = 0x3c00;  // 1
  weights.insert_or_assign("fc3.bias", half);
  const Graph graph = build("lenet", weights);
  const Tensor* constant = graph.constant(*graph.find_value("fc3.bias"));
  REQUIRE(constant);
  CHECK(constant->dtype == DType::float32);
  CHECK(constant->f32()[0] == 1.0f);
}

TEST_CASE("architectures: everything that does not fit is listed") {
  models::StateDict weights = weights_of("lenet_5");
  weights.erase("fc2.bias");
  weights.insert_or_assign("extra.weight", make_f32({2}, std::vector<float>{1, 2}));
  weights.insert_or_assign("fc3.weight", make_f32({1, 2}, std::vector<float>{1, 2}));
  const std::string message = build_error("lenet", weights);
  CHECK(contains(message, "lenet: 4 tensors of the checkpoint do not fit: "));
  CHECK(contains(message, "fc2.bias is missing (7)"));
  CHECK(contains(message, "fc3.weight has shape 1x2, expected 1x7"));
  CHECK(contains(message, "fc3.bias has shape 10, expected 1"));
  CHECK(contains(message, "extra.weight is unexpected (2)"));

  models::StateDict integers = weights_of("lenet_5");
  integers.insert_or_assign("fc3.bias", MutableTensor(DType::int32, {10}));
  CHECK(build_error("lenet", integers) == "lenet: 1 tensor of the checkpoint does not fit: fc3.bias is of int32, expected floats");
}

TEST_CASE("architectures: another network's checkpoint is told apart") {
  CHECK(build_error("resnet56", weights_of("resnet_option_a")) ==
        "resnet56: the checkpoint has 1, 2 and 1 blocks and looks like resnet10; expected resnet56");
  CHECK(contains(build_error("resnet20", weights_of("lenet_5")), "expected tensors of a CIFAR ResNet"));
  CHECK(contains(build_error("repvgg", weights_of("lenet_5")), "expected tensors of a CIFAR RepVGG"));
  CHECK(contains(build_error("vgg", weights_of("lenet_5")), "expected tensors of a VGG"));
  CHECK(contains(build_error("lenet", weights_of("vgg_bn")), "and "));
  CHECK(
      contains(message_of([] { models::find_architecture("alexnet"); }), "architecture 'alexnet' is unknown; expected one of resnet20, "));
}

TEST_CASE("architectures: hostile shapes do no harm") {
  for (const models::Architecture& architecture : models::architectures()) {
    for (const char* file : {"resnet_option_a", "repvgg_trained", "lenet_5", "vgg_bn"}) {
      const models::StateDict good = weights_of(file);
      for (const auto& [name, tensor] : good) {
        for (const Dims& dims : {Dims{}, Dims{0}, Dims{0, 0, 0, 0}, Dims{INT64_MAX, 0, 3, 3}, Dims{0, INT64_MAX, INT64_MAX, 0}}) {
          models::StateDict weights = good;
          weights.insert_or_assign(name,
                                   dims.size() > 1 ? Tensor{DType::float32, dims, tensor.bytes} : MutableTensor(DType::float32, dims));
          CHECK(build_error(architecture.name, weights) != "");
        }
      }
    }
  }
}

}  // namespace konv::test
