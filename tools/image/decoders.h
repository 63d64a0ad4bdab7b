// The decoders behind decode_image. Each is handed bytes that begin like its format, and throws konv::Error as decode_image does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tools/image/image.h"

namespace konv::tools {

Image decode_png(std::span<const std::byte> bytes, const std::string& name);
Image decode_jpeg(std::span<const std::byte> bytes, const std::string& name);

// Throws where a header claims more than kMaxImagePixels.
void check_image_size(std::uint64_t width, std::uint64_t height, const std::string& name);

}  // namespace konv::tools
