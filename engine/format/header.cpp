#include "engine/format/header.h"

#include <cstring>

#include <fmt/format.h>

#include <konv/error.hpp>

#include "engine/format/limits.h"
#include "engine/format/model_generated.h"
#include "engine/format/recognize.h"

namespace konv::format {
namespace {

static_assert(sizeof(schema::Header) == kHeaderSize, "the FlatBuffer behind the header begins aligned");

constexpr std::uint32_t kMark = 'K' | 'O' << 8 | 'N' << 16 | 'V' << 24;

schema::Header read_header(const Bytes& file) {
  if (file.size == 0) throw Error("is empty; expected a konv model");
  const std::span<const std::byte> beginning(file.data.get(), file.size);
  if (file.size < 4 || std::memcmp(file.data.get(), "KONV", 4) != 0) {
    throw Error(fmt::format("is not a konv model ({}); expected the mark KONV", describe_beginning(beginning)));
  }
  if (file.size < kHeaderSize)
    throw Error(fmt::format("is truncated: {} of at least {} bytes; expected the whole file", file.size, kHeaderSize));
  schema::Header header;
  std::memcpy(&header, file.data.get(), kHeaderSize);
  return header;
}

}  // namespace

Header make_header(std::uint64_t structure_size, std::uint64_t weights_offset, std::uint64_t weights_size) {
  const schema::Header header(kMark, kVersionMajor, kVersionMinor, structure_size, weights_offset, weights_size, 0, 0, 0, 0);
  Header bytes;
  std::memcpy(bytes.data(), &header, kHeaderSize);
  return bytes;
}

Sections find_sections(const Bytes& file) {
  const schema::Header header = read_header(file);
  if (header.version_major() == 0 || header.version_major() > kVersionMajor) {
    throw Error(fmt::format("has format version {}.{}; expected at most {}.x: a newer konv reads it", header.version_major(),
                            header.version_minor(), kVersionMajor));
  }
  const std::uint64_t structure = header.structure_size(), offset = header.weights_offset(), weights = header.weights_size();
  if (structure > kMaxStructure)
    throw Error(fmt::format("declares a structure of {} bytes; expected at most {}", structure, kMaxStructure));
  if (offset % kAlignment != 0 || offset < kHeaderSize + structure) {
    throw Error(fmt::format("declares its weights at byte {}; expected a multiple of {} behind a structure of {} bytes", offset, kAlignment,
                            structure));
  }
  std::uint64_t whole = 0;
  if (__builtin_add_overflow(offset, weights, &whole)) {
    throw Error(fmt::format("declares {} bytes of weights; expected a size that a file can have", weights));
  }
  if (whole > file.size) throw Error(fmt::format("is truncated: {} of {} bytes; expected the whole file", file.size, whole));
  if (whole < file.size) throw Error(fmt::format("is {} bytes long; expected {}", file.size, whole));
  const std::byte* begin = file.data.get();
  return {begin + kHeaderSize,
          static_cast<std::size_t>(structure),
          {std::shared_ptr<const std::byte>(file.data, begin + offset), static_cast<std::size_t>(weights)}};
}

}  // namespace konv::format
