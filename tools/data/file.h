// Whole files in, whole files out, with errors that name the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <vector>

namespace konv::tools {

// An open file read at any place. Reading is const and may happen from several threads at once.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }

  // Fills all of `bytes` from `offset` on; it is an error if the file ends before.
  void read(std::uint64_t offset, std::span<std::byte> bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

std::vector<std::byte> read_file(const std::filesystem::path& path);

// Writes beside `path` first and renames at the end: a reader sees the old file or the new one, and a full disk leaves nothing behind.
void write_file(const std::filesystem::path& path, std::initializer_list<std::span<const std::byte>> parts);

}  // namespace konv::tools
