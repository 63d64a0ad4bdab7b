// What a reader accepts at most, and a writer therefore writes. Real networks stay far below; the bounds are there so that a hostile
// file costs time and memory in proportion to its size.
#pragma once

#include <cstddef>

namespace konv::format {

inline constexpr std::size_t kAlignment = 64;            ///< of the weights section and of each constant in it
inline constexpr std::size_t kMaxStructure = 256 << 20;  ///< bytes of the FlatBuffer
inline constexpr std::size_t kMaxValues = 1 << 20;
inline constexpr std::size_t kMaxNodes = 1 << 20;
inline constexpr std::size_t kMaxAttributes = 64;  ///< of one node
inline constexpr std::size_t kMaxName = 4096;      ///< bytes
inline constexpr std::size_t kMaxSymbol = 64;      ///< bytes; inference copies symbols from shape to shape

}  // namespace konv::format
