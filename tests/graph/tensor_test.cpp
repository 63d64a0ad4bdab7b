#include <cmath>
#include <cstring>
#include <initializer_list>

#include <doctest/doctest.h>

#include "engine/base/text.h"
#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

namespace {

template <class T>
Tensor tensor_of(DType dtype, Dims dims, std::initializer_list<T> stored) {
  MutableTensor tensor(dtype, std::move(dims));
  std::memcpy(tensor.bytes.get(), std::data(stored), stored.size() * sizeof(T));
  return tensor;
}

}  // namespace

TEST_CASE("tensors: counts, and sizes from files that do not fit") {
  CHECK(element_count({}) == 1);
  CHECK(element_count({2, 3, 4}) == 24);
  CHECK(element_count({2, 0, 4}) == 0);
  CHECK_THROWS_AS(element_count({2, -1}), Error);
  CHECK_THROWS_AS(element_count({INT64_MAX, 2}), Error);
  CHECK_THROWS_AS(MutableTensor(DType::float32, {INT64_MAX / 2}), Error);
}

TEST_CASE("tensors: new ones are zero, aligned, and keep their bytes when copied") {
  MutableTensor made(DType::float32, {3, 5});
  CHECK(reinterpret_cast<std::uintptr_t>(made.bytes.get()) % 64 == 0);
  for (const float x : made.f32()) CHECK(x == 0);
  made.f32()[14] = 2.5f;
  const Tensor first = made, second = first;
  CHECK(second.f32()[14] == 2.5f);
  CHECK(second.bytes == first.bytes);
  CHECK(MutableTensor(DType::float32, {0}).bytes != nullptr);
}

TEST_CASE("tensors: as many values as the shape has") {
  const std::vector<float> three = {1, 2, 3};
  CHECK(make_f32({3}, three).f32()[2] == 3);
  CHECK(error_of([&] { make_f32({2, 2}, three); }) == "tensor: 3 values given; expected 4 (2x2)");
}

TEST_CASE("tensors: integers of any width, widened") {
  using V = std::vector<std::int64_t>;
  CHECK(to_i64(tensor_of<std::int32_t>(DType::int32, {2}, {-5, 7})) == V{-5, 7});
  CHECK(to_i64(tensor_of<std::uint16_t>(DType::uint16, {1}, {65535})) == V{65535});
  CHECK(to_i64(tensor_of<std::uint8_t>(DType::boolean, {2}, {1, 0})) == V{1, 0});
  CHECK(to_i64(tensor_of<std::uint8_t>(DType::int4, {3}, {0x8f, 0x07})) == V{-1, -8, 7});
  CHECK(to_i64(tensor_of<std::uint8_t>(DType::uint4, {3}, {0x8f, 0x07})) == V{15, 8, 7});
  CHECK(to_i64(tensor_of<std::uint8_t>(DType::int2, {5}, {0xe4, 0x02})) == V{0, 1, -2, -1, -2});
  CHECK(to_i64(tensor_of<std::uint8_t>(DType::uint2, {4}, {0xe4})) == V{0, 1, 2, 3});
  CHECK(has(error_of([] { to_i64(MutableTensor(DType::float32, {1})); }), "float32; expected integers"));
}

TEST_CASE("tensors: floats of any width as float32") {
  using V = std::vector<float>;
  CHECK(to_f32(tensor_of<double>(DType::float64, {1}, {0.5})) == V{0.5f});
  CHECK(to_f32(tensor_of<std::uint16_t>(DType::bfloat16, {2}, {0x3f80, 0xc000})) == V{1.0f, -2.0f});
  const V half = to_f32(tensor_of<std::uint16_t>(DType::float16, {8}, {0x3c00, 0xc000, 0x7bff, 0x0001, 0x83ff, 0x8000, 0x7c00, 0x7e00}));
  CHECK(half[0] == 1.0f);
  CHECK(half[1] == -2.0f);
  CHECK(half[2] == 65504.0f);
  CHECK(half[3] == 0x1p-24f);
  CHECK(half[4] == -1023 * 0x1p-24f);
  CHECK((half[5] == 0 && std::signbit(half[5])));
  CHECK(std::isinf(half[6]));
  CHECK(std::isnan(half[7]));
  CHECK(has(error_of([] { to_f32(MutableTensor(DType::int8, {1})); }), "int8; expected floats"));
}

TEST_CASE("text from files stays on one line") {
  CHECK(printable("conv\n1\x7f") == "conv?1?");
  CHECK(printable(std::string(300, 'a')) == std::string(200, 'a') + "...");
}
