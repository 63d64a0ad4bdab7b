#include "tools/data/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include <konv/error.hpp>

namespace konv::tools {
namespace fs = std::filesystem;
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

// Removes the unfinished file unless it was given its name.
struct Unfinished {
  std::string name;
  bool keep = false;
  ~Unfinished() {
    if (!keep) ::unlink(name.c_str());
  }
};

bool write_all(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

// A new file in the folder of `path`, readable as any other file the user makes.
int make_unfinished(std::string& name) {
  const int descriptor = ::mkstemp(name.data());
  if (descriptor < 0) return -1;
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(descriptor, 0666 & ~mask);
  return descriptor;
}

}  // namespace

InputFile::InputFile(fs::path path) : path_(std::move(path)) {
  Descriptor descriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.value() < 0) throw Error(path_.string() + ": cannot be opened (" + reason(errno) + "); expected a readable file");
  struct stat status {};
  if (::fstat(descriptor.value(), &status) != 0) throw Error(path_.string() + ": " + reason(errno) + "; expected a readable file");
  if (S_ISDIR(status.st_mode)) throw Error(path_.string() + ": is a folder; expected a file");
  if (!S_ISREG(status.st_mode)) throw Error(path_.string() + ": is a device or pipe; expected a file");
  size_ = static_cast<std::uint64_t>(status.st_size);
  descriptor_ = descriptor.release();
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error(path_.string() + ": cannot be read (" + reason(errno) + "); expected a readable file");
    if (count == 0)
      throw Error(path_.string() + ": ends at byte " + std::to_string(offset) + "; expected " + std::to_string(bytes.size()) + " more");
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

std::vector<std::byte> read_file(const fs::path& path) {
  const InputFile file(path);
  std::vector<std::byte> bytes(file.size());
  file.read(0, bytes);
  return bytes;
}

void write_file(const fs::path& path, std::initializer_list<std::span<const std::byte>> parts) {
  const auto fail = [&](int error) -> void {
    throw Error(path.string() + ": cannot be written (" + reason(error) + "); expected a writable folder with enough space");
  };
  std::string name = path.string() + ".XXXXXX";
  const Descriptor descriptor(make_unfinished(name));
  if (descriptor.value() < 0) fail(errno);
  Unfinished unfinished{name};
  for (const std::span<const std::byte> part : parts) {
    if (!write_all(descriptor.value(), part)) fail(errno);
  }
  if (::rename(name.c_str(), path.c_str()) != 0) fail(errno);
  unfinished.keep = true;
}

}  // namespace konv::tools
