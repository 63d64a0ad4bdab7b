#include "models/architectures/architectures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <konv/error.hpp>

#include "engine/base/text.h"
#include "models/architectures/network_builder.h"

namespace konv::models {

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> list = {
      {"resnet20", "ResNet-20 for 32x32 images, shortcuts without parameters or projected", build_resnet20},
      {"resnet32", "ResNet-32 for 32x32 images", build_resnet32},
      {"resnet44", "ResNet-44 for 32x32 images", build_resnet44},
      {"resnet56", "ResNet-56 for 32x32 images", build_resnet56},
      {"resnet110", "ResNet-110 for 32x32 images", build_resnet110},
      {"resnet", "any ResNet of three stages for 32x32 images: depth and widths as the weights say", build_resnet},
      {"repvgg", "RepVGG for 32x32 images, as trained (three branches) or deployed", build_repvgg},
      {"lenet", "LeNet-5 with ReLU and max pooling, kernels as the weights say", build_lenet},
      {"vgg", "VGG-11, 13, 16 or 19 for 32x32 images, with or without BatchNorm", build_vgg},
  };
  return list;
}

const Architecture& find_architecture(const std::string& name) {
  std::vector<std::string> names;
  for (const Architecture& architecture : architectures()) {
    if (architecture.name == name) return architecture;
    names.emplace_back(architecture.name);
  }
  throw Error(fmt::format("architecture '{}' is unknown; expected one of {}", printable(name), fmt::join(names, ", ")));
}

}  // namespace konv::models
