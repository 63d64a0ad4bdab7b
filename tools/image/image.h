// Pictures from files: PNG and JPEG, as 8-bit RGB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace konv::tools {

struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb;  // height x width x 3, rows from the top
};

// The largest picture that is decoded. A header of a few bytes may claim any size; this keeps it from claiming the memory too.
constexpr std::uint64_t kMaxImagePixels = 100'000'000;

// Decodes the file by its content; its name does not matter. Stored values are taken as they are, the way training pipelines
// read them: no gamma, colour profile or EXIF rotation is applied.
//   gray, palette       become RGB
//   alpha               the picture is laid on black, value * alpha / 255 rounded: colours under transparent pixels are arbitrary
//   16 bits a channel   are scaled to 8
// Throws konv::Error "<file>: <fact>; expected <what>" for anything else: other formats, CMYK, broken or truncated data, more than
// kMaxImagePixels.
Image decode_image(const std::filesystem::path& path);

// The same for bytes in memory; `name` stands for the file in errors.
Image decode_image(std::span<const std::byte> bytes, const std::string& name);

}  // namespace konv::tools
