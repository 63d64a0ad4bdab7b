#include "engine/base/aligned.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

#include <fmt/format.h>

#include <konv/error.hpp>

namespace konv {

namespace {

/// Blocks of at least half a huge page are made of whole ones: kernels step through megabytes in strides, and each small page is an address to look up.
constexpr std::size_t kHugePage = std::size_t{1} << 21;

struct Release {
  void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{kTensorAlignment}); }
};

struct Unmap {
  std::size_t bytes;
  void operator()(std::byte* p) const { munmap(p, bytes); }
};

[[noreturn]] void fail(std::size_t bytes) { throw Error(fmt::format("no memory for a tensor of {} bytes", bytes)); }

/// Fresh pages: pages that the heap hands out again stay small.
std::shared_ptr<std::byte> huge_pages(std::size_t bytes) {
  const std::size_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage, reserved = whole + kHugePage;
  void* const memory = bytes > reserved ? MAP_FAILED : mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail(bytes);
  auto* const begin = static_cast<std::byte*>(memory);
  const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + whole, reserved - before - whole);
#ifdef MADV_HUGEPAGE
  madvise(begin + before, whole, MADV_HUGEPAGE);  // refused: small pages do as well
#endif
  std::memset(begin + before, 0, whole);  // pages come now, not in the first run
  return {begin + before, Unmap{whole}};
}

}  // namespace

std::shared_ptr<std::byte> aligned_bytes(std::int64_t size) {
  const std::size_t bytes = size > 0 ? static_cast<std::size_t>(size) : 1;
  if (bytes >= kHugePage / 2) return huge_pages(bytes);
  void* memory = ::operator new (bytes, std::align_val_t{kTensorAlignment}, std::nothrow);
  if (!memory) fail(bytes);
  std::memset(memory, 0, bytes);
  return {static_cast<std::byte*>(memory), Release{}};
}

}  // namespace konv
