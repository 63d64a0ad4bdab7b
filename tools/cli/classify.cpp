#include "tools/cli/classify.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace konv::tools {

ImageBatch::ImageBatch(const Model& model, std::size_t capacity) : model_(model), capacity_(capacity) {
  if (model.inputs().size() != 1)
    throw Error(fmt::format("the model has {} inputs; expected one that takes an image", model.inputs().size()));
  input_ = model.inputs().front();
  if (!input_.shape.empty() && input_.shape[0] > 0) capacity_ = static_cast<std::size_t>(input_.shape[0]);
}

void ImageBatch::add(const Image& image, const std::string& name) {
  const std::vector<std::int64_t> shape = {3, image.height, image.width};
  if (size_ > 0 && shape != shape_)
    throw Error(fmt::format("{}: is {}x{}; expected {}x{} as the images before it", name, image.width, image.height, shape_[2], shape_[1]));
  shape_ = shape;
  const std::size_t count = static_cast<std::size_t>(3) * static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
  if (data_.size() < (size_ + 1) * count) data_.resize(capacity_ * count);
  try {
    model_.preprocess(image.rgb.data(), image.width, image.height, data_.data() + size_ * count);
  } catch (const Error& e) {
    throw Error(name + ": " + e.what());
  }
  ++size_;
}

InputTensor ImageBatch::tensor() const {
  // A model of fixed batch gets the last batch filled up with what is there from before.
  const bool fixed = input_.shape[0] > 0;
  return {
      input_.name, Type::float32, {static_cast<std::int64_t>(fixed ? capacity_ : size_), shape_[0], shape_[1], shape_[2]}, data_.data()};
}

std::span<const float> scores(const OutputTensor& output, std::size_t i, std::size_t images) {
  if (output.type != Type::float32)
    throw Error(fmt::format("output '{}': is {}; expected float32 scores", output.name, type_name(output.type)));
  const std::span<const float> all = output.values<float>();
  if (output.shape.empty() || output.shape[0] < static_cast<std::int64_t>(images) || all.empty())
    throw Error(fmt::format("output '{}': has no row per image; expected [N, classes]", output.name));
  const std::size_t row = all.size() / static_cast<std::size_t>(output.shape[0]);
  return all.subspan(i * row, row);
}

std::vector<float> probabilities(std::span<const float> s) {
  const double sum = std::accumulate(s.begin(), s.end(), 0.0);
  const bool already = std::abs(sum - 1) < 1e-3 && std::all_of(s.begin(), s.end(), [](float x) { return x >= 0 && x <= 1.001f; });
  std::vector<float> p(s.begin(), s.end());
  if (already) return p;
  const float largest = *std::max_element(s.begin(), s.end());
  double total = 0;
  for (float x : s) total += std::exp(static_cast<double>(x - largest));
  for (float& x : p) x = static_cast<float>(std::exp(static_cast<double>(x - largest)) / total);
  return p;
}

std::vector<std::size_t> top_k(std::span<const float> s, std::size_t k) {
  std::vector<std::size_t> order(s.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  k = std::min(k, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                    [&](std::size_t a, std::size_t b) { return s[a] != s[b] ? s[a] > s[b] : a < b; });
  order.resize(k);
  return order;
}

}  // namespace konv::tools
