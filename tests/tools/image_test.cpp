#include "tools/image/image.h"

#include <doctest/doctest.h>
#include <png.h>

#include <algorithm>
#include <cstdlib>

#include "tests/tools/files.h"

using namespace konv::test;
using konv::tools::decode_image;
using konv::tools::Image;
using Bytes = std::vector<std::uint8_t>;

namespace {

// A smooth picture, which JPEG keeps closely.
Bytes gradient(int width, int height, int components) {
  Bytes bytes;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < components; ++c) bytes.push_back(static_cast<std::uint8_t>(40 * c + 80 * x / width + 60 * y / height));
    }
  }
  return bytes;
}

int largest_difference(const Bytes& a, const Bytes& b) {
  REQUIRE(a.size() == b.size());
  int largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("PNG: RGB comes back as it was stored") {
  const TemporaryFolder folder;
  const Bytes rgb = gradient(5, 3, 3);
  for (const bool interlaced : {false, true}) {
    CAPTURE(interlaced);
    const auto file = folder.write("a.png", encode_png({5, 3, PNG_COLOR_TYPE_RGB, 8, rgb, {}, {}, interlaced}));
    const Image image = decode_image(file);
    CHECK(image.width == 5);
    CHECK(image.height == 3);
    CHECK(image.rgb == rgb);
  }
}

TEST_CASE("PNG: gray, palette, few bits and 16 bits become 8-bit RGB") {
  const TemporaryFolder folder;
  const auto decode = [&](const PngPicture& picture) { return decode_image(folder.write("a.png", encode_png(picture))).rgb; };
  CHECK(decode({2, 1, PNG_COLOR_TYPE_GRAY, 8, {7, 200}}) == Bytes{7, 7, 7, 200, 200, 200});
  CHECK(decode({3, 1, PNG_COLOR_TYPE_GRAY, 1, {0b10100000}}) == Bytes{255, 255, 255, 0, 0, 0, 255, 255, 255});
  CHECK(decode({2, 1, PNG_COLOR_TYPE_PALETTE, 8, {1, 0}, {1, 2, 3, 4, 5, 6}}) == Bytes{4, 5, 6, 1, 2, 3});
  CHECK(decode({1, 1, PNG_COLOR_TYPE_RGB, 16, {0x80, 0x80, 0xff, 0xff, 0x00, 0x10}}) == Bytes{128, 255, 0});
}

TEST_CASE("PNG: transparent pictures are laid on black") {
  const TemporaryFolder folder;
  const auto decode = [&](const PngPicture& picture) { return decode_image(folder.write("a.png", encode_png(picture))).rgb; };
  CHECK(decode({3, 1, PNG_COLOR_TYPE_RGB_ALPHA, 8, {200, 100, 3, 255, 200, 100, 3, 128, 200, 100, 3, 0}}) ==
        Bytes{200, 100, 3, 100, 50, 2, 0, 0, 0});
  CHECK(decode({1, 1, PNG_COLOR_TYPE_GRAY_ALPHA, 8, {100, 51}}) == Bytes{20, 20, 20});
  CHECK(decode({2, 1, PNG_COLOR_TYPE_PALETTE, 8, {0, 1}, {10, 20, 30, 40, 50, 60}, {0}}) == Bytes{0, 0, 0, 40, 50, 60});
}

TEST_CASE("JPEG: RGB and gray, baseline and progressive") {
  const TemporaryFolder folder;
  for (const bool progressive : {false, true}) {
    CAPTURE(progressive);
    const Bytes rgb = gradient(33, 17, 3);
    const Image color = decode_image(folder.write("any name", encode_jpeg({33, 17, 3, rgb, progressive})));
    CHECK(color.width == 33);
    CHECK(color.height == 17);
    CHECK(largest_difference(color.rgb, rgb) <= 6);

    const Bytes gray = gradient(16, 16, 1);
    const Image one = decode_image(folder.write("a.jpg", encode_jpeg({16, 16, 1, gray, progressive})));
    Bytes thrice;
    for (const std::uint8_t value : gray) thrice.insert(thrice.end(), 3, value);
    CHECK(largest_difference(one.rgb, thrice) <= 4);
  }
}

TEST_CASE("JPEG: CMYK is refused") {
  const TemporaryFolder folder;
  const auto file = folder.write("print.jpg", encode_jpeg({8, 8, 4, gradient(8, 8, 4)}));
  CHECK(error_of(folder, [&] { decode_image(file); }) == "print.jpg: is a CMYK JPEG; expected RGB or gray");
}

TEST_CASE("every truncated picture is an error") {
  const TemporaryFolder folder;
  const std::string png = encode_png({16, 16, PNG_COLOR_TYPE_RGB, 8, gradient(16, 16, 3)});
  const std::string jpeg = encode_jpeg({16, 16, 3, gradient(16, 16, 3)});
  const std::string progressive = encode_jpeg({16, 16, 3, gradient(16, 16, 3), true});
  for (const std::string& whole : {png, jpeg, progressive}) {
    CHECK(error_of(folder, [&] { decode_image(folder.write("whole", whole)); }) == "");
    for (std::size_t size = 0; size < whole.size(); size += size < 32 || size + 8 > whole.size() ? 1 : 7) {
      CAPTURE(size);
      CHECK(error_of(folder, [&] { decode_image(folder.write("cut", whole.substr(0, size))); }).starts_with("cut: "));
    }
  }
  CHECK(error_of(folder, [&] { decode_image(folder.write("a.jpg", jpeg.substr(0, jpeg.size() - 20))); }) ==
        "a.jpg: broken JPEG: premature end of data; expected a complete image");
  CHECK(error_of(folder, [&] { decode_image(folder.write("a.png", png.substr(0, png.size() - 20))); }) ==
        "a.png: broken PNG: premature end of data; expected a complete image");
}

TEST_CASE("JPEG: stray bytes between segments cost no pixels and are no error") {
  const TemporaryFolder folder;
  std::string bytes = encode_jpeg({16, 16, 3, gradient(16, 16, 3)});
  bytes.insert(bytes.find("\xff\xdb"), "\x01\x02\x03");
  CHECK(error_of(folder, [&] { decode_image(folder.write("a.jpg", bytes)); }) == "");
}

TEST_CASE("damaged pictures never crash") {
  const TemporaryFolder folder;
  const std::string png = encode_png({16, 16, PNG_COLOR_TYPE_RGB, 8, gradient(16, 16, 3)});
  const std::string jpeg = encode_jpeg({16, 16, 3, gradient(16, 16, 3), true});
  std::uint32_t random = 7;
  for (const std::string& whole : {png, jpeg}) {
    for (int i = 0; i < 500; ++i) {
      std::string damaged = whole;
      for (int change = 0; change < 3; ++change) {
        random = random * 1664525 + 1013904223;
        damaged[random / 7 % damaged.size()] = static_cast<char>(random >> 24);
      }
      try {
        decode_image(std::as_bytes(std::span(damaged)), "damaged");
      } catch (const konv::Error&) {
      }
    }
  }
}

TEST_CASE("a header that claims too many pixels is refused before memory is taken") {
  const TemporaryFolder folder;
  std::string png = encode_png({1, 1, PNG_COLOR_TYPE_GRAY, 8, {0}});
  // IHDR follows the 8-byte signature: length, name, width, height, 5 bytes, then the checksum of name and fields.
  png.replace(16, 8, std::string("\0\x01\0\0\0\x01\0\0", 8));
  std::uint32_t crc = 0xffffffff;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<std::uint8_t>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  crc = ~crc;
  for (std::size_t i = 0; i < 4; ++i) png[29 + i] = static_cast<char>(crc >> (24 - 8 * i));
  CHECK(error_of(folder, [&] { decode_image(folder.write("big.png", png)); }) ==
        "big.png: has 65536 x 65536 pixels; expected 100 million at most");

  std::string jpeg = encode_jpeg({8, 8, 1, Bytes(64)});
  jpeg.replace(jpeg.find("\xff\xc0") + 5, 4, "\xff\x10\xff\x10");
  CHECK(error_of(folder, [&] { decode_image(folder.write("big.jpg", jpeg)); }) ==
        "big.jpg: has 65296 x 65296 pixels; expected 100 million at most");
}

TEST_CASE("files that are no pictures are named for what they are") {
  const TemporaryFolder folder;
  const auto why = [&](const std::string& name, const std::string& bytes) {
    return error_of(folder, [&] { decode_image(folder.write(name, bytes)); });
  };
  CHECK(why("photo.heic", std::string("\0\0\0\x18", 4) + "ftypheic....") == "photo.heic: begins like a HEIF file; expected PNG or JPEG");
  CHECK(why("x.png", "hello\n") == "x.png: is text; expected PNG or JPEG");
  CHECK(why("x.png", "") == "x.png: is empty; expected PNG or JPEG");
  CHECK(why("x.png", "GIF89a") == "x.png: begins like a GIF file; expected PNG or JPEG");
  CHECK(why("x.png", "RIFF....WEBPVP8 ") == "x.png: begins like a WebP file; expected PNG or JPEG");
  CHECK(why("x.png", std::string("\x01\x02\x03\0", 4)) == "x.png: is no picture in a known format; expected PNG or JPEG");
  CHECK(error_of(folder, [&] { decode_image(folder.path() / "none.png"); }) ==
        "none.png: cannot be opened (No such file or directory); expected a readable file");
  std::filesystem::create_directory(folder / "folder");
  CHECK(error_of(folder, [&] { decode_image(folder / "folder"); }) == "folder: is a folder; expected a file");
}
