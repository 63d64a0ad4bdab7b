// Constants of a graph: a type, a shape and bytes that somebody keeps alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"

namespace konv {

using Dims = std::vector<std::int64_t>;

/// Number of elements. Throws konv::Error when it does not fit (sizes come from files).
std::int64_t element_count(const Dims& dims);

/// "1x16x32x32"; "scalar" for no dimensions.
std::string to_string(const Dims& dims);

/// An immutable tensor. Copies share the bytes, which may lie in a mapped file: `bytes` keeps the mapping alive.
struct Tensor {
  DType dtype = DType::float32;
  Dims dims;
  std::shared_ptr<const std::byte> bytes;  ///< row-major, storage_bytes(dtype, count()), at least 16-byte aligned

  std::int64_t count() const { return element_count(dims); }
  std::int64_t size_bytes() const { return storage_bytes(dtype, count()); }

  /// The elements as T; T's size must be the dtype's.
  template <class T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(bytes.get()), static_cast<std::size_t>(count())};
  }
  std::span<const float> f32() const { return as<float>(); }
};

/// A tensor under construction: zeroed bytes of its own, 64-byte aligned.
struct MutableTensor {
  MutableTensor(DType dtype, Dims dims);

  DType dtype;
  Dims dims;
  std::shared_ptr<std::byte> bytes;

  template <class T>
  std::span<T> as() {
    return {reinterpret_cast<T*>(bytes.get()), static_cast<std::size_t>(element_count(dims))};
  }
  std::span<float> f32() { return as<float>(); }
  operator Tensor() const { return {dtype, dims, bytes}; }  // NOLINT: a finished tensor is what it becomes
};

Tensor make_f32(Dims dims, std::span<const float> values);
Tensor make_i64(Dims dims, std::span<const std::int64_t> values);

/// Integers of at most 32 bits, signed or not, packed as files and memory hold them: element 0 in the lowest bits. The type must hold the values.
Tensor pack_integers(DType type, Dims dims, std::span<const std::int32_t> values);

/// The elements of an integer or bool tensor (int32, int64, ...), widened. Throws for other types.
std::vector<std::int64_t> to_i64(const Tensor& tensor);
/// The elements of any float tensor (float16 and bfloat16 too).
std::vector<double> to_f64(const Tensor& tensor);
/// The same rounded to float32.
std::vector<float> to_f32(const Tensor& tensor);

}  // namespace konv
