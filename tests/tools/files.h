// Files and pictures that the tests make for themselves.
#pragma once

#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <konv/error.hpp>

namespace konv::test {

// A fresh folder, gone with its contents at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "konv-test.XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

  // Writes a file, making the folders above it.
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The message of the konv::Error that `action` throws, without the folder of the file; "" where it throws none.
template <class Action>
std::string error_of(const TemporaryFolder& folder, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    std::string message = error.what();
    const std::string prefix = folder.path().string() + "/";
    for (std::size_t at; (at = message.find(prefix)) != std::string::npos;) message.erase(at, prefix.size());
    return message;
  }
  return "";
}

// Encoders, for pictures of any kind. `color_type` and `bits` are libpng's; rows are packed as PNG stores them.
struct PngPicture {
  int width, height, color_type, bits;
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t> palette = {};  // RGB triples
  std::vector<std::uint8_t> palette_alpha = {};
  bool interlaced = false;
};
std::string encode_png(const PngPicture& picture);

// `components`: 1 gray, 3 RGB, 4 CMYK.
struct JpegPicture {
  int width, height, components;
  std::vector<std::uint8_t> bytes;
  bool progressive = false;
};
std::string encode_jpeg(const JpegPicture& picture);

}  // namespace konv::test
