#include "engine/base/aligned.h"

#include <cstring>
#include <new>

#include <fmt/format.h>

#include <konv/error.hpp>

namespace konv {

std::shared_ptr<std::byte> aligned_bytes(std::int64_t size) {
  const std::size_t bytes = size > 0 ? static_cast<std::size_t>(size) : 1;
  void* memory = ::operator new (bytes, std::align_val_t{kTensorAlignment}, std::nothrow);
  if (!memory) throw Error(fmt::format("no memory for a tensor of {} bytes", bytes));
  std::memset(memory, 0, bytes);
  const auto release = [](std::byte* p) { ::operator delete (p, std::align_val_t{kTensorAlignment}); };
  return {static_cast<std::byte*>(memory), release};
}

}  // namespace konv
