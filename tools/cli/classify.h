// Images to classes: what run and eval share.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tools/cli/common.h"
#include "tools/image/image.h"

namespace konv::tools {

/// Preprocessed images gathered into batches of the model's first input.
class ImageBatch {
 public:
  ImageBatch(const Model& model, std::size_t capacity);

  std::size_t capacity() const { return capacity_; }
  std::size_t size() const { return size_; }
  void clear() { size_ = 0; }
  /// Throws konv::Error, prefixed by `name`, when the image does not fit the model.
  void add(const Image& image, const std::string& name);
  InputTensor tensor() const;

 private:
  const Model& model_;
  TensorInfo input_;
  std::size_t capacity_, size_ = 0;
  std::vector<std::int64_t> shape_;  // of one image
  std::vector<float> data_;
};

/// The classes' scores of image `i` of a run.
std::span<const float> scores(const OutputTensor& output, std::size_t i, std::size_t images);

/// Scores as probabilities: softmax, unless they are probabilities already.
std::vector<float> probabilities(std::span<const float> scores);

/// Indices of the k largest, largest first; equal ones in order of index.
std::vector<std::size_t> top_k(std::span<const float> scores, std::size_t k);

}  // namespace konv::tools
