#include "tools/image/image.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include <konv/error.hpp>

#include "tools/data/file.h"
#include "tools/image/decoders.h"

namespace konv::tools {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::size_t offset;
  std::string_view bytes;
  std::string_view what;
};

constexpr std::string_view kPng = "\x89PNG\r\n\x1a\n"sv;
constexpr std::string_view kJpeg = "\xff\xd8\xff"sv;

// What people hand in by mistake, most specific first.
constexpr std::array kOthers = {
    Magic{4, "ftypavi"sv, "an AVIF"},    Magic{4, "ftyphei"sv, "a HEIF"},
    Magic{4, "ftyphev"sv, "a HEIF"},     Magic{4, "ftypmif1"sv, "a HEIF"},
    Magic{4, "ftyp"sv, "an MP4"},        Magic{0, "\0\0\0\x0cJXL "sv, "a JPEG XL"},
    Magic{0, "\xff\x0a"sv, "a JPEG XL"}, Magic{0, "\0\0\0\x0cjP  "sv, "a JPEG 2000"},
    Magic{8, "WEBP"sv, "a WebP"},        Magic{0, "GIF8"sv, "a GIF"},
    Magic{0, "BM"sv, "a BMP"},           Magic{0, "II*\0"sv, "a TIFF"},
    Magic{0, "MM\0*"sv, "a TIFF"},       Magic{0, "\x93NUMPY"sv, "a NumPy"},
    Magic{0, "PK\x03\x04"sv, "a zip"},   Magic{0, "\x1f\x8b"sv, "a gzip"},
    Magic{0, "%PDF"sv, "a PDF"},
};

bool has(std::string_view content, std::size_t offset, std::string_view magic) {
  return content.size() >= offset + magic.size() && content.substr(offset, magic.size()) == magic;
}

bool is_text(std::string_view content) {
  return std::ranges::all_of(content.substr(0, 512), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x80 || std::isprint(byte) || std::isspace(byte);
  });
}

std::string what_it_is(std::string_view content) {
  if (content.empty()) return "is empty";
  for (const Magic& other : kOthers) {
    if (has(content, other.offset, other.bytes)) return "begins like " + std::string(other.what) + " file";
  }
  if (content.size() < kPng.size() && kPng.starts_with(content))
    return "is a PNG file's first " + std::to_string(content.size()) + " bytes";
  if (content.size() < kJpeg.size() && kJpeg.starts_with(content))
    return "is a JPEG file's first " + std::to_string(content.size()) + " bytes";
  if (is_text(content)) return "is text";
  return "is no picture in a known format";
}

}  // namespace

void check_image_size(std::uint64_t width, std::uint64_t height, const std::string& name) {
  if (width <= kMaxImagePixels && height <= kMaxImagePixels && width * height <= kMaxImagePixels) return;
  throw Error(name + ": has " + std::to_string(width) + " x " + std::to_string(height) + " pixels; expected " +
              std::to_string(kMaxImagePixels / 1'000'000) + " million at most");
}

Image decode_image(std::span<const std::byte> bytes, const std::string& name) {
  const std::string_view content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (content.starts_with(kPng)) return decode_png(bytes, name);
  if (content.starts_with(kJpeg)) return decode_jpeg(bytes, name);
  throw Error(name + ": " + what_it_is(content) + "; expected PNG or JPEG");
}

Image decode_image(const std::filesystem::path& path) { return decode_image(read_file(path), path.string()); }

}  // namespace konv::tools
