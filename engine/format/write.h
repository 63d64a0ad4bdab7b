// From a Graph to the parts of a file.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/format/limits.h"
#include "engine/graph/graph.h"

namespace konv::format {

/// The bytes of a file, the weights still where they lie: a file of gigabytes is written without a second copy of them.
class Image {
 public:
  explicit Image(const Graph& graph);

  std::size_t size() const { return size_; }

  /// Hands the file's bytes to `sink(std::span<const std::byte>)`, piece after piece.
  template <class Sink>
  void write(Sink&& sink) const {
    static constexpr std::byte kZeros[kAlignment] = {};
    std::size_t at = 0;
    const auto fill = [&](std::size_t end) {
      if (end > at) sink(std::span(kZeros).first(end - at));
    };
    for (const Piece& piece : pieces_) {
      fill(piece.offset);
      sink(piece.bytes);
      at = piece.offset + piece.bytes.size();
    }
    fill(size_);
  }

 private:
  struct Piece {
    std::size_t offset;  ///< in the file, fewer than kAlignment bytes behind the piece before
    std::span<const std::byte> bytes;
  };

  Graph graph_;                       ///< keeps the weights alive
  std::vector<std::byte> structure_;  ///< header and FlatBuffer
  std::vector<Piece> pieces_;
  std::size_t size_ = 0;
};

}  // namespace konv::format
