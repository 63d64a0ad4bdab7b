// Memory for tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace konv {

inline constexpr std::size_t kTensorAlignment = 64;

/// Zeroed bytes, aligned to kTensorAlignment; at least one, so that the pointer is never null. Throws konv::Error when there is no memory.
std::shared_ptr<std::byte> aligned_bytes(std::int64_t size);

}  // namespace konv
