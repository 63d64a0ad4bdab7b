#include "converter/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include <fmt/format.h>

namespace konv::converter {
namespace {

std::string reason(int code) { return std::generic_category().message(code); }

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

}  // namespace

MappedFile map_file(const std::string& path) {
  // Without O_NONBLOCK opening a pipe would wait for its writer.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status = {};
  if (file.number < 0 || ::fstat(file.number, &status) != 0) {
    throw Error(fmt::format("cannot be opened: {}; expected a readable file", reason(errno)));
  }
  if (S_ISDIR(status.st_mode)) throw Error("is a folder; expected a file");
  if (!S_ISREG(status.st_mode)) throw Error("is not a regular file; expected one");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) throw Error("is empty; expected a file of weights");
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (address == MAP_FAILED) throw Error(fmt::format("cannot be mapped: {}; expected a readable file", reason(errno)));
  const auto unmap = [address, size](const std::byte*) { ::munmap(address, size); };
  return {std::shared_ptr<const std::byte>(static_cast<const std::byte*>(address), unmap), size};
}

}  // namespace konv::converter
