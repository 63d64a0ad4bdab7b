// The 64 bytes a .konv file begins with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/format/file.h"

namespace konv::format {

inline constexpr std::size_t kHeaderSize = 64;
inline constexpr std::uint16_t kVersionMajor = 1;  ///< see model.fbs for what raises it
inline constexpr std::uint16_t kVersionMinor = 0;

using Header = std::array<std::byte, kHeaderSize>;

Header make_header(std::uint64_t structure_size, std::uint64_t weights_offset, std::uint64_t weights_size);

struct Sections {
  const std::byte* structure;  ///< the FlatBuffer
  std::size_t structure_size;
  Bytes weights;  ///< keeps the file alive
};

/// Where the sections lie, all within the file. Throws konv::Error, not naming the file, for what is no konv model, too new or truncated.
Sections find_sections(const Bytes& file);

}  // namespace konv::format
