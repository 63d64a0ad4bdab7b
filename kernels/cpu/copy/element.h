// Data movement knows elements by their size only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace konv {

inline const char* refuse_bytes(int element_bytes) {
  const bool known = element_bytes == 1 || element_bytes == 2 || element_bytes == 4 || element_bytes == 8;
  return known ? nullptr : "elements are not of 1, 2, 4 or 8 bytes";
}

/// Calls f with a value of an unsigned type of that size.
template <class F>
void with_element(int element_bytes, const F& f) {
  switch (element_bytes) {
    case 1: return f(std::uint8_t{});
    case 2: return f(std::uint16_t{});
    case 4: return f(std::uint32_t{});
    case 8: return f(std::uint64_t{});
    default: return;
  }
}

/// The element in the first bytes of `value`.
template <class T>
T first_bytes(std::uint64_t value) {
  T element;
  std::memcpy(&element, &value, sizeof element);
  return element;
}

template <class T>
void copy_run(const T* in, std::int64_t in_step, T* out, std::int64_t out_step, std::int64_t n) {
  if (in_step == 1 && out_step == 1) {
    std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(T));
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) out[i * out_step] = in[i * in_step];
}

template <class T>
void fill_run(T* out, std::int64_t step, std::int64_t n, T value) {
  if (step == 1) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = value;
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) out[i * step] = value;
}

}  // namespace konv
