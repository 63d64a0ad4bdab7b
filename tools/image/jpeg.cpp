// JPEG by libjpeg(-turbo), with its default transform and upsampling: the values other readers give.
#include <cstddef>
#include <cstdio>
// jpeglib.h wants the two above.
#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <vector>

#include <konv/error.hpp>

#include "tools/image/decoders.h"

namespace konv::tools {
namespace {

// libjpeg reports errors through these callbacks; `leave` must not pass a destructor, so the functions that call libjpeg
// (read_header, read_pixels) hold plain values only, and everything that owns memory lives in their caller.
struct Errors {
  jpeg_error_mgr manager;  // first: libjpeg hands its address back
  std::jmp_buf leave;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr jpeg) {
  auto* errors = reinterpret_cast<Errors*>(jpeg->err);
  errors->manager.format_message(jpeg, errors->message);
  std::longjmp(errors->leave, 1);
}

// libjpeg calls lost pixels a warning and paints them gray. Warnings that lose none are common in the wild and harmless.
bool is_harmless(int code) {
  switch (code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL: return true;
    default: return false;
  }
}

void on_message(j_common_ptr jpeg, int level) {
  if (level < 0 && !is_harmless(jpeg->err->msg_code)) on_error(jpeg);
}

void print_nothing(j_common_ptr) {}

class Reader {
 public:
  Reader() {
    jpeg_.err = jpeg_std_error(&errors_.manager);
    errors_.manager.error_exit = on_error;
    errors_.manager.emit_message = on_message;
    errors_.manager.output_message = print_nothing;
  }
  ~Reader() { jpeg_destroy_decompress(&jpeg_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  jpeg_decompress_struct& jpeg() { return jpeg_; }
  Errors& errors() { return errors_; }

 private:
  jpeg_decompress_struct jpeg_ = {};
  Errors errors_ = {};
};

bool read_header(jpeg_decompress_struct& jpeg, Errors& errors, std::span<const std::byte> bytes) {
  if (setjmp(errors.leave)) return false;
  jpeg_create_decompress(&jpeg);
  jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&jpeg, TRUE);
  return true;
}

bool read_pixels(jpeg_decompress_struct& jpeg, Errors& errors, std::uint8_t* rgb) {
  if (setjmp(errors.leave)) return false;
  jpeg.out_color_space = JCS_RGB;
  jpeg_start_decompress(&jpeg);
  const std::size_t row_bytes = std::size_t{3} * jpeg.output_width;
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = rgb + jpeg.output_scanline * row_bytes;
    jpeg_read_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_decompress(&jpeg);
  return true;
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  Reader reader;
  jpeg_decompress_struct& jpeg = reader.jpeg();
  const auto fail = [&] {
    std::string fact = reader.errors().message;
    // libjpeg's wording of the common case names neither what is missing nor where.
    const int code = reader.errors().manager.msg_code;
    if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JERR_INPUT_EOF) fact = "premature end of data";
    throw Error(name + ": broken JPEG: " + fact + "; expected a complete image");
  };

  if (!read_header(jpeg, reader.errors(), bytes)) fail();
  check_image_size(jpeg.image_width, jpeg.image_height, name);
  switch (jpeg.jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_RGB:
    case JCS_YCbCr: break;
    case JCS_CMYK:
    case JCS_YCCK: throw Error(name + ": is a CMYK JPEG; expected RGB or gray");
    default: throw Error(name + ": is a JPEG of " + std::to_string(jpeg.num_components) + " components; expected RGB or gray");
  }

  std::vector<std::uint8_t> rgb(std::size_t{3} * jpeg.image_width * jpeg.image_height);
  if (!read_pixels(jpeg, reader.errors(), rgb.data())) fail();
  return {static_cast<int>(jpeg.image_width), static_cast<int>(jpeg.image_height), std::move(rgb)};
}

}  // namespace konv::tools
