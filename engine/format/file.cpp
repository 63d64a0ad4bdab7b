#include "engine/format/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include <konv/error.hpp>

namespace konv::format {
namespace {

std::string message(int code) { return std::generic_category().message(code); }

[[noreturn]] void cannot_be_written(int code, const char* expected = "a writable folder") {
  throw Error(fmt::format("cannot be written: {}; expected {}", message(code), expected));
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

/// The file a chain of links ends at, so that the link stays a link.
std::string resolved(const std::string& path) {
  std::error_code failed;
  if (!std::filesystem::is_symlink(path, failed)) return path;
  const std::filesystem::path target = std::filesystem::canonical(path, failed);
  return failed ? path : target.string();
}

}  // namespace

Bytes map_file(const std::string& path) {
  // Without O_NONBLOCK opening a pipe would wait for its writer.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (file.fd < 0 || ::fstat(file.fd, &status) != 0) {
    throw Error(fmt::format("cannot be opened: {}; expected a konv model", message(errno)));
  }
  if (S_ISDIR(status.st_mode)) throw Error("is a folder; expected a konv model");
  if (!S_ISREG(status.st_mode)) throw Error("is not a regular file; expected a konv model");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return {};
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (memory == MAP_FAILED) throw Error(fmt::format("cannot be mapped: {}; expected a readable file", message(errno)));
  const auto unmap = [size](const std::byte* p) { ::munmap(const_cast<std::byte*>(p), size); };
  return {std::shared_ptr<const std::byte>(static_cast<const std::byte*>(memory), unmap), size};
}

NewFile::NewFile(const std::string& path) : target_(resolved(path)) {
  struct stat status {};
  if (::stat(target_.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) cannot_be_written(EISDIR, "a file name");
    if (!S_ISREG(status.st_mode)) throw Error("cannot be written: not a regular file; expected a file name");
    // The mode bits count, not access(): root is meant to be stopped, too.
    if ((status.st_mode & 0222) == 0) throw Error("cannot be written: the file is write-protected; expected one that may be replaced");
  }
  static std::atomic<unsigned> counter = 0;
  for (int attempt = 0; attempt < 100; ++attempt) {
    temporary_ = fmt::format("{}.{}-{}.tmp", target_, ::getpid(), counter++);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor_ >= 0) return;
    if (errno != EEXIST) break;
  }
  cannot_be_written(errno);
}

NewFile::~NewFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void NewFile::write(std::span<const std::byte> bytes) {
  constexpr std::size_t kChunk = 1 << 30;  // one write() stops short of 2 GiB
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kChunk));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) cannot_be_written(errno, "room on the disk");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void NewFile::commit() {
  if (::fsync(descriptor_) != 0) cannot_be_written(errno, "room on the disk");
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) cannot_be_written(errno, "room on the disk");
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) cannot_be_written(errno);
  temporary_.clear();
}

}  // namespace konv::format
