#include "engine/base/aligned.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include <fmt/format.h>

#include <konv/error.hpp>

namespace konv {

namespace {

/// Blocks of at least half a huge page are made of whole ones: kernels step through megabytes in strides, and each small page is an address to look up.
constexpr std::size_t kHugePage = std::size_t{1} << 21;

struct Release {
  std::align_val_t alignment;
  void operator()(std::byte* p) const { ::operator delete(p, alignment); }
};

}  // namespace

std::shared_ptr<std::byte> aligned_bytes(std::int64_t size) {
  std::size_t bytes = size > 0 ? static_cast<std::size_t>(size) : 1;
  const bool huge = bytes >= kHugePage / 2;
  if (huge) bytes = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  const std::align_val_t alignment{huge ? kHugePage : kTensorAlignment};
  void* memory = ::operator new(bytes, alignment, std::nothrow);
  if (!memory) throw Error(fmt::format("no memory for a tensor of {} bytes", bytes));
#ifdef MADV_HUGEPAGE
  if (huge) madvise(memory, bytes, MADV_HUGEPAGE);  // refused: small pages do as well
#endif
  std::memset(memory, 0, bytes);
  return {static_cast<std::byte*>(memory), Release{alignment}};
}

}  // namespace konv
