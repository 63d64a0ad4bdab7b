// Files as format/ needs them: mapped whole, and written whole or not at all.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace konv::format {

struct Bytes {
  std::shared_ptr<const std::byte> data;  ///< keeps the mapping alive
  std::size_t size = 0;
};

/// Maps a regular file read-only. Who shortens the file in place later makes reads of the lost part fatal; NewFile replaces files instead.
/// Throws konv::Error, not naming the file.
Bytes map_file(const std::string& path);

/// A file that appears under its name only when it is complete: bytes go to a temporary file beside it, which is renamed at the end
/// and removed if that is never reached. All members throw konv::Error, not naming the file.
class NewFile {
 public:
  /// Refuses a target that is write-protected or no regular file. Links are followed.
  explicit NewFile(const std::string& path);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();

  void write(std::span<const std::byte> bytes);
  const std::string& temporary() const { return temporary_; }
  /// Waits until the bytes are on the disk, then gives the file its name.
  void commit();

 private:
  std::string target_, temporary_;
  int descriptor_ = -1;
};

}  // namespace konv::format
