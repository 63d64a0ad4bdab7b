// PNG by libpng's row interface. Its simplified interface would be shorter but applies the file's gamma, which no training pipeline does.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <vector>

#include <konv/error.hpp>

#include "tools/image/decoders.h"

namespace konv::tools {
namespace {

// libpng reports errors by longjmp, which must not pass a destructor. So the functions that call it (read_header, read_pixels)
// hold plain values only, and everything that owns memory lives in their caller.
struct Source {
  const std::byte* next;
  std::size_t left;
  char message[128];
};

void read_bytes(png_structp png, png_bytep out, std::size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->left) png_error(png, "premature end of data");
  std::memcpy(out, source->next, count);
  source->next += count;
  source->left -= count;
}

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* source = static_cast<Source*>(png_get_error_ptr(png));
  std::strncpy(source->message, message, sizeof source->message - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}  // ancillary chunks only: the pixels are not concerned

class Reader {
 public:
  explicit Reader(Source& source) : png_(png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, on_error, on_warning)) {
    if (png_) info_ = png_create_info_struct(png_);
    if (!info_) {
      png_destroy_read_struct(&png_, &info_, nullptr);
      throw std::bad_alloc();
    }
    png_set_read_fn(png_, &source, read_bytes);
  }
  ~Reader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  png_structp png() const { return png_; }
  png_infop info() const { return info_; }

 private:
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

// Reads up to the pixels and asks for 8-bit RGB, with alpha where there is transparency.
bool read_header(png_structp png, png_infop info) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_image_size judges, with a message of ours
  png_read_info(png, info);
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  return true;
}

bool read_pixels(png_structp png, png_infop info, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_read_image(png, rows);
  png_read_end(png, info);
  return true;
}

std::vector<std::uint8_t> lay_on_black(const std::vector<std::uint8_t>& rgba) {
  std::vector<std::uint8_t> rgb(rgba.size() / 4 * 3);
  for (std::size_t pixel = 0; pixel < rgba.size() / 4; ++pixel) {
    const unsigned alpha = rgba[4 * pixel + 3];
    for (std::size_t c = 0; c < 3; ++c) rgb[3 * pixel + c] = static_cast<std::uint8_t>((rgba[4 * pixel + c] * alpha + 127) / 255);
  }
  return rgb;
}

}  // namespace

Image decode_png(std::span<const std::byte> bytes, const std::string& name) {
  Source source{bytes.data(), bytes.size(), {}};
  const Reader reader(source);
  const auto fail = [&] { throw Error(name + ": broken PNG: " + source.message + "; expected a complete image"); };

  if (!read_header(reader.png(), reader.info())) fail();
  const std::size_t width = png_get_image_width(reader.png(), reader.info());
  const std::size_t height = png_get_image_height(reader.png(), reader.info());
  check_image_size(width, height, name);

  const std::size_t channels = png_get_channels(reader.png(), reader.info());
  std::vector<std::uint8_t> pixels(width * height * channels);
  std::vector<png_bytep> rows(height);
  for (std::size_t y = 0; y < height; ++y) rows[y] = pixels.data() + y * width * channels;
  if (!read_pixels(reader.png(), reader.info(), rows.data())) fail();

  return {static_cast<int>(width), static_cast<int>(height), channels == 4 ? lay_on_black(pixels) : std::move(pixels)};
}

}  // namespace konv::tools
