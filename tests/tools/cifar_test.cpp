#include "tools/data/cifar.h"

#include <doctest/doctest.h>

#include "tests/tools/files.h"

using namespace konv::test;
using konv::tools::CifarFile;

namespace {

std::string record(int label, char red, char green, char blue) {
  return std::string(1, static_cast<char>(label)) + std::string(1024, red) + std::string(1024, green) + std::string(1024, blue);
}

}  // namespace

TEST_CASE("cifar: planes become interleaved pixels") {
  const TemporaryFolder folder;
  std::string second = record(9, 4, 5, 6);
  second[1 + 33] = 77;           // red at row 1, column 1
  second[1 + 2048 + 1023] = 88;  // blue, last pixel
  const CifarFile file(folder.write("a.bin", record(0, 1, 2, 3) + second));
  REQUIRE(file.size() == 2);
  CHECK(file.label(0) == 0);
  CHECK(file.label(1) == 9);
  const konv::tools::Image image = file.image(1);
  CHECK(image.width == 32);
  CHECK(image.height == 32);
  REQUIRE(image.rgb.size() == 3072);
  CHECK(image.rgb[0] == 4);
  CHECK(image.rgb[1] == 5);
  CHECK(image.rgb[2] == 6);
  CHECK(image.rgb[3 * 33] == 77);
  CHECK(image.rgb[3071] == 88);
}

TEST_CASE("cifar: labels are read beyond the first stretch") {
  const TemporaryFolder folder;
  std::string bytes;
  for (int i = 0; i < 700; ++i) bytes += record(i % 10, 0, 0, 0);
  const CifarFile file(folder.write("a.bin", bytes));
  REQUIRE(file.size() == 700);
  for (int i = 0; i < 700; ++i) CHECK(file.label(static_cast<std::size_t>(i)) == i % 10);
}

TEST_CASE("cifar: files that are something else are refused") {
  const TemporaryFolder folder;
  const auto why = [&](const std::string& bytes) { return error_of(folder, [&] { CifarFile file(folder.write("a.bin", bytes)); }); };
  CHECK(why(std::string(3000, '\0')) ==
        "a.bin: has 3000 bytes; expected a multiple of 3073 (CIFAR-10 records: a label and 32 x 32 RGB pixels)");
  CHECK(why("") == "a.bin: has 0 bytes; expected a multiple of 3073 (CIFAR-10 records: a label and 32 x 32 RGB pixels)");
  CHECK(why(record(3, 0, 0, 0) + record(12, 0, 0, 0)) == "a.bin: record 1 begins with label 12; expected 0 to 9");
}
