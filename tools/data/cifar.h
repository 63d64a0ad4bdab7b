// CIFAR-10 in its binary version (https://www.cs.toronto.edu/~kriz/cifar.html): records of one label byte and 32 x 32 pixels,
// stored plane by plane (1024 red, 1024 green, 1024 blue).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "tools/data/file.h"
#include "tools/image/image.h"

namespace konv::tools {

inline constexpr std::array<std::string_view, 10> kCifar10Classes = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                                     "dog",      "frog",       "horse", "ship", "truck"};

// One .bin file. Construction reads the labels and checks them; images are read when asked for.
// Throws konv::Error where the size is not a whole number of records, or a label is not 0 to 9.
class CifarFile {
 public:
  explicit CifarFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  std::size_t size() const { return labels_.size(); }
  int label(std::size_t record) const { return labels_[record]; }
  Image image(std::size_t record) const;

 private:
  InputFile file_;
  std::vector<std::uint8_t> labels_;
};

}  // namespace konv::tools
