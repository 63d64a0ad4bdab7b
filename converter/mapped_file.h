// A file's bytes, mapped read-only.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include <konv/error.hpp>

namespace konv::converter {

struct MappedFile {
  std::shared_ptr<const std::byte> bytes;  ///< keeps the mapping alive
  std::size_t size = 0;

  std::span<const std::byte> span() const { return {bytes.get(), size}; }
};

/// Throws konv::Error, without the file's name, when `path` is no readable regular file, or is empty.
MappedFile map_file(const std::string& path);

/// Runs `read` and puts "<path>: " in front of the konv::Error it throws.
template <class Read>
auto naming_file(const std::string& path, const Read& read) {
  try {
    return read();
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
}

}  // namespace konv::converter
