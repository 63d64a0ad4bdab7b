#include "tools/data/cifar.h"

#include <algorithm>
#include <string>

#include <konv/error.hpp>

namespace konv::tools {
namespace {

constexpr int kSide = 32;
constexpr std::size_t kPlane = kSide * kSide;
constexpr std::size_t kRecord = 1 + 3 * kPlane;

}  // namespace

CifarFile::CifarFile(const std::filesystem::path& path) : file_(path) {
  if (file_.size() == 0 || file_.size() % kRecord != 0) {
    throw Error(path.string() + ": has " + std::to_string(file_.size()) + " bytes; expected a multiple of " + std::to_string(kRecord) +
                " (CIFAR-10 records: a label and 32 x 32 RGB pixels)");
  }
  labels_.resize(file_.size() / kRecord);
  // In stretches of 1 MB: a call per label would be ten thousand calls.
  constexpr std::size_t kRecordsAtATime = 341;
  std::vector<std::byte> buffer(kRecordsAtATime * kRecord);
  for (std::size_t first = 0; first < labels_.size(); first += kRecordsAtATime) {
    const std::size_t count = std::min(kRecordsAtATime, labels_.size() - first);
    file_.read(first * kRecord, std::span(buffer).first(count * kRecord));
    for (std::size_t i = 0; i < count; ++i) {
      const auto label = std::to_integer<std::uint8_t>(buffer[i * kRecord]);
      if (label >= kCifar10Classes.size()) {
        throw Error(path.string() + ": record " + std::to_string(first + i) + " begins with label " + std::to_string(label) +
                    "; expected 0 to 9");
      }
      labels_[first + i] = label;
    }
  }
}

Image CifarFile::image(std::size_t record) const {
  std::array<std::byte, 3 * kPlane> planes;
  file_.read(record * kRecord + 1, planes);
  Image image{kSide, kSide, std::vector<std::uint8_t>(3 * kPlane)};
  for (std::size_t pixel = 0; pixel < kPlane; ++pixel) {
    for (std::size_t c = 0; c < 3; ++c) image.rgb[3 * pixel + c] = std::to_integer<std::uint8_t>(planes[c * kPlane + pixel]);
  }
  return image;
}

}  // namespace konv::tools
