// What all kernel tests share: buffers that notice what they should not see, and the loop over a list.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/activation.h"
#include "kernels/base/isa.h"
#include "kernels/base/machine.h"
#include "kernels/base/tensor_view.h"
#include "tests/support/random.h"

namespace konv::test {

/// Is this instruction set to be tested? Says so once where the CPU lacks what KONV_FORCE_ISA wants: ctest counts that as skipped.
inline bool can_run_tests() {
  const IsaChoice choice = choose_isa();
  if (choice.error) std::printf("konv-skipped: %s\n", choice.error);
  return !choice.error;
}

/// 64-byte aligned bytes between guards, poisoned: read as floats they are NaN.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t size) : size_(size), bytes_(static_cast<std::byte*>(::operator new(size + 2 * kGuard, kAlign))) {
    poison();
  }

  void* data() { return bytes_.get() + kGuard; }
  void poison() { std::memset(bytes_.get(), 0xff, size_ + 2 * kGuard); }
  bool guards_hold() const {
    const auto untouched = [](std::byte b) { return b == std::byte{0xff}; };
    return std::all_of(bytes_.get(), bytes_.get() + kGuard, untouched) &&
           std::all_of(bytes_.get() + kGuard + size_, bytes_.get() + 2 * kGuard + size_, untouched);
  }

 private:
  static constexpr std::size_t kGuard = 256;
  static constexpr std::align_val_t kAlign{64};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, kAlign); }
  };
  std::size_t size_;
  std::unique_ptr<std::byte, Free> bytes_;
};

/// A tensor somewhere in a larger buffer: gaps of `gap` elements at most behind every dimension, all of them filled with a sentinel.
template <class T>
class Embedded {
 public:
  Embedded(const std::vector<std::int64_t>& dims, DType dtype, Rng& rng, int gap) {
    view_.dtype = dtype;
    view_.rank = static_cast<int>(dims.size());
    std::int64_t stride = 1;
    for (int d = view_.rank - 1; d >= 0; --d) {
      view_.dims[d] = dims[static_cast<std::size_t>(d)];
      view_.strides[d] = stride;
      stride = stride * view_.dims[d] + (d + 1 < view_.rank || gap > 2 ? rng.integer(0, gap) : 0);
      if (d == view_.rank - 1 && gap > 0) stride += rng.integer(0, 2);  // a halo left and right
    }
    const std::int64_t margin = gap ? 64 + rng.integer(0, gap) : 0;
    storage_.assign(static_cast<std::size_t>(stride + 2 * margin), kSentinel);
    view_.data = storage_.data() + margin;
  }

  const TensorView& view() const { return view_; }
  std::int64_t count() const { return view_.count(); }

  T& at(std::int64_t flat) {
    std::int64_t offset = 0;
    for (int d = view_.rank - 1; d >= 0; --d) {
      offset += flat % view_.dims[d] * view_.strides[d];
      flat /= view_.dims[d];
    }
    return static_cast<T*>(view_.data)[offset];
  }
  void assign(const std::vector<T>& values) {
    for (std::int64_t i = 0; i < count(); ++i) at(i) = values[static_cast<std::size_t>(i)];
  }
  std::vector<T> values() {
    std::vector<T> result(static_cast<std::size_t>(count()));
    for (std::int64_t i = 0; i < count(); ++i) result[static_cast<std::size_t>(i)] = at(i);
    return result;
  }
  /// Is everything around the tensor as it was? Overwrites the tensor.
  bool surroundings_hold() {
    for (std::int64_t i = 0; i < count(); ++i) at(i) = kSentinel;
    return std::all_of(storage_.begin(), storage_.end(), [](T x) { return x == kSentinel; });
  }

 private:
  static constexpr T kSentinel = T(77);
  TensorView view_;
  std::vector<T> storage_;
};

enum class Order { forward, backward };

/// Runs every chunk on a workspace that is poisoned again each time; false if a chunk wrote outside it.
template <class CodeType, class Args>
bool run_chunks(const CodeType& code, const Args& args, Order order = Order::forward) {
  GuardedBytes workspace(code.workspace(args.shape));
  const std::int64_t chunks = code.chunks(args.shape);
  for (std::int64_t i = 0; i < chunks; ++i) {
    workspace.poison();
    code.run(args, order == Order::forward ? i : chunks - 1 - i, workspace.data());
    if (!workspace.guards_hold()) return false;
  }
  return true;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Elements that are farther from the expected value than allowed; NaN is never near anything.
inline std::int64_t count_off(const std::vector<float>& actual, const std::vector<double>& expected, const std::vector<double>& allowed) {
  std::int64_t off = actual.size() == expected.size() ? 0 : 1;
  for (std::size_t i = 0; i < actual.size() && i < expected.size(); ++i) {
    const bool same_infinity = std::isinf(expected[i]) && static_cast<double>(actual[i]) == expected[i];
    if (!same_infinity && !(std::fabs(actual[i] - expected[i]) <= allowed[i])) ++off;
  }
  return off;
}

/// Rounding errors of a sum of k terms whose magnitudes add up to `magnitude`: they grow with sqrt(k), four standard deviations are allowed.
inline double sum_error(std::int64_t k, double magnitude) { return 0x1p-24 * (4 * std::sqrt(static_cast<double>(k)) + 16) * magnitude; }

/// Calls test(kernel) for every kernel of a list that this machine, or KONV_FORCE_ISA, allows.
template <class List, class F>
void for_each_kernel(const List& list, const F& test) {
  if (!can_run_tests()) return;
  int tested = 0;
  for (const auto& kernel : list) {
    if (kernel.isa > choose_isa().isa) continue;
    ++tested;
    const std::string kernel_name = kernel.name;
    CAPTURE(kernel_name);
    test(kernel);
  }
  CHECK(tested > 0);
  CHECK_MESSAGE(list.back().isa == Isa::portable, "the last kernel of a list must run everywhere");
}

/// Does the kernel take this shape? A refusal must say why, a price must be one.
template <class KernelType, class Shape>
bool takes(const KernelType& kernel, const Shape& shape) {
  if (const char* reason = kernel.refuse(shape)) {
    CHECK(std::strlen(reason) > 3);
    return false;
  }
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    const double seconds = kernel.cost(shape, Machine::typical(isa));
    CHECK((seconds > 0 && seconds < 1e6));
  }
  return true;
}

inline Activation random_activation(Rng& rng) {
  const auto kind = static_cast<ActivationKind>(rng.integer(0, kActivationKinds - 1));
  switch (kind) {
    case ActivationKind::leaky_relu: return {kind, 0.125f, 0};
    case ActivationKind::clip: return {kind, -0.5f, 0.75f};
    case ActivationKind::hard_sigmoid: return {kind, 0.2f, 0.5f};
    case ActivationKind::elu: return {kind, 0.75f, 0};
    case ActivationKind::selu: return {kind, 1.67326f, 1.0507f};
    case ActivationKind::sqrt:
    case ActivationKind::log:
    case ActivationKind::exp: return {ActivationKind::gelu, 0, 0};  // not of every number, or beyond what tolerances are made for
    default: return {kind, 0, 0};
  }
}

}  // namespace konv::test
