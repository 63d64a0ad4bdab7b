// FlatBuffers' optional parts as ordinary C++: what is absent is empty.
#pragma once

#include <cstddef>
#include <string_view>

#include "engine/format/model_generated.h"

namespace konv::format {

inline std::string_view view(const flatbuffers::String* text) {
  return text ? std::string_view(text->c_str(), text->size()) : std::string_view{};
}

template <class T>
std::size_t count(const flatbuffers::Vector<T>* vector) {
  return vector ? vector->size() : 0;
}

/// For range-for over a vector that may be absent.
template <class T>
struct items {
  using iterator = typename flatbuffers::Vector<T>::const_iterator;

  explicit items(const flatbuffers::Vector<T>* vector_) : vector(vector_) {}
  iterator begin() const { return vector ? vector->begin() : iterator(nullptr, 0); }
  iterator end() const { return vector ? vector->end() : iterator(nullptr, 0); }

  const flatbuffers::Vector<T>* vector;
};

}  // namespace konv::format
