// Blocked images for kernel tests.
#pragma once

#include "kernels/base/layout.h"
#include "tests/kernels/harness.h"

namespace konv::test {

/// An image as the plan lays it out for a kernel: blocks of channels, a ring around every one. Plain with a ring when the block is 1.
class LaidOut {
 public:
  /// The ring and the pad lanes hold `surroundings`.
  LaidOut(const std::vector<std::int64_t>& dims, int block, const Halo& halo, float surroundings) : surroundings_(surroundings) {
    const std::int64_t row = (dims[3] + halo.left + halo.right) * block, plane = (dims[2] + halo.top + halo.bottom) * row;
    const std::int64_t blocks = (dims[1] + block - 1) / block, start = halo.top * row + halo.left * block;
    floats_ = std::make_unique<GuardedBytes>(static_cast<std::size_t>(dims[0] * blocks * plane) * sizeof(float));
    all_ = {static_cast<float*>(floats_->data()), static_cast<std::size_t>(dims[0] * blocks * plane)};
    std::fill(all_.begin(), all_.end(), surroundings);
    view_ = {all_.data() + start, DType::float32, 4, {dims[0], dims[1], dims[2], dims[3]}, {blocks * plane, plane, row, block}, block};
  }

  const TensorView& view() const { return view_; }

  template <class F>
  void for_each(const F& f) {
    for (std::int64_t n = 0; n < view_.dims[0]; ++n) {
      for (std::int64_t c = 0; c < view_.dims[1]; ++c) {
        for (std::int64_t y = 0; y < view_.dims[2]; ++y) {
          for (std::int64_t x = 0; x < view_.dims[3]; ++x) {
            f(view_.f32()[n * view_.strides[0] + c / view_.block * view_.strides[1] + y * view_.strides[2] + x * view_.strides[3] +
                          c % view_.block]);
          }
        }
      }
    }
  }
  void assign(const std::vector<float>& values) {
    auto value = values.begin();
    for_each([&](float& x) { x = *value++; });
  }
  std::vector<float> values() {
    std::vector<float> result;
    for_each([&](float x) { result.push_back(x); });
    return result;
  }
  /// Pad lanes are part of what a kernel writes, and must be zero; the ring is not. Overwrites the tensor.
  bool surroundings_hold() {
    for_each([&](float& x) { x = surroundings_; });
    const std::int64_t pad = (view_.dims[1] + view_.block - 1) / view_.block * view_.block;
    bool zeros = true;
    const std::int64_t channels = view_.dims[1];
    view_.dims[1] = pad;
    std::int64_t at = 0;
    for_each([&](float& x) {
      const std::int64_t c = at++ / (view_.dims[2] * view_.dims[3]) % pad;
      if (c < channels) return;
      zeros = zeros && x == 0;
      x = surroundings_;
    });
    view_.dims[1] = channels;
    return zeros && floats_->guards_hold() && std::all_of(all_.begin(), all_.end(), [&](float x) { return x == surroundings_; });
  }

 private:
  float surroundings_;
  std::unique_ptr<GuardedBytes> floats_;
  std::span<float> all_;
  TensorView view_;
};

}  // namespace konv::test
