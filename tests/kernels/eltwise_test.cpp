#include "kernels/cpu/eltwise/eltwise.h"

#include "kernels/cpu/eltwise/half.h"
#include "tests/kernels/harness.h"

namespace konv::test {
namespace {

std::vector<std::int64_t> random_dims(Rng& rng) {
  std::vector<std::int64_t> dims;
  for (std::int64_t d = rng.integer(1, 4); d > 0; --d) dims.push_back(rng.integer(1, d == 1 ? 70 : 9));
  return dims;
}

TEST_CASE("every unary kernel agrees with the definition") {
  for_each_kernel(unary_kernels(), [](const UnaryKernel& kernel) {
    for (int seed = 0; seed < 300; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      const std::vector<std::int64_t> dims = random_dims(rng);
      Embedded<float> in(dims, DType::float32, rng, seed % 3 * 2), out(dims, DType::float32, rng, seed % 2 * 3);
      const UnaryArgs args{{random_activation(rng), in.count()}, in.view(), out.view()};
      if (!takes(kernel, args.shape)) continue;
      in.assign(rng.reals(in.count(), -5, 5));
      std::vector<double> expected;
      for (const float x : in.values()) expected.push_back(apply(args.shape.function, x));
      CHECK(run_chunks(*kernel.code, args));
      CHECK(count_off(out.values(), expected, std::vector<double>(expected.size(), 1e-6)) == 0);
      CHECK(out.surroundings_hold());
    }
    // In place, and long enough for several chunks; NaN passes through.
    std::vector<float> data(100'000, -1.5f);
    data[7] = std::nanf("");
    const TensorView view{data.data(), DType::float32, 1, {100'000}, {1}, 1};
    CHECK(run_chunks(*kernel.code, UnaryArgs{{{ActivationKind::relu, 0, 0}, 100'000}, view, view}));
    CHECK(std::isnan(data[7]));
    CHECK(std::count(data.begin(), data.end(), 0.0f) == 99'999);
  });
}

double arithmetic(Arithmetic kind, double x, double y) {
  switch (kind) {
    case Arithmetic::add: return x + y;
    case Arithmetic::sub: return x - y;
    case Arithmetic::mul: return x * y;
    case Arithmetic::div: return x / y;
    case Arithmetic::pow: return std::pow(x, y);
    case Arithmetic::min: return std::min(x, y);
    case Arithmetic::max: return std::max(x, y);
    case Arithmetic::prelu: return x < 0 ? x * y : x;
    default: return 0;  // comparisons are tested on their own
  }
  return 0;
}

TEST_CASE("every binary kernel agrees with the oracle, broadcasting included") {
  for_each_kernel(binary_kernels(), [](const BinaryKernel& kernel) {
    for (int seed = 0; seed < 400; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      const std::vector<std::int64_t> dims = random_dims(rng);
      const int gap = seed % 3;
      Embedded<float> a(dims, DType::float32, rng, gap), b(dims, DType::float32, rng, gap), out(dims, DType::float32, rng, gap);
      BinaryArgs args{{static_cast<Arithmetic>(seed % 8), DType::float32, out.count()}, a.view(), b.view(), out.view(), {}};
      if (rng.chance(0.5)) args.activation = {rng.chance(0.5) ? ActivationKind::relu : ActivationKind::tanh, 0, 0};
      if (!takes(kernel, args.shape)) continue;
      a.assign(args.shape.kind == Arithmetic::pow ? rng.reals(a.count(), 0.1f, 2) : rng.reals(a.count()));
      b.assign(rng.reals(b.count(), 0.5f, 2));
      for (TensorView* view : {&args.a, &args.b}) {
        for (int d = 0; d < view->rank; ++d) {
          if (rng.chance(0.3)) view->strides[d] = 0;
        }
      }
      const auto value = [&](const TensorView& v, std::int64_t flat) {
        std::int64_t offset = 0;
        for (int d = v.rank - 1; d >= 0; flat /= v.dims[d--]) offset += flat % v.dims[d] * v.strides[d];
        return static_cast<double>(v.f32()[offset]);
      };
      std::vector<double> expected;
      for (std::int64_t i = 0; i < out.count(); ++i) {
        const double z = arithmetic(args.shape.kind, value(args.a, i), value(args.b, i));
        expected.push_back(args.activation.kind == ActivationKind::none   ? z
                           : args.activation.kind == ActivationKind::relu ? std::max(z, 0.0)
                                                                          : std::tanh(z));
      }
      CHECK(run_chunks(*kernel.code, args));
      const std::vector<float> result = out.values();
      CHECK(count_off(result, expected, std::vector<double>(expected.size(), 1e-6)) == 0);
      CHECK(run_chunks(*kernel.code, args, Order::backward));
      CHECK(same_bits(result, out.values()));
      CHECK(out.surroundings_hold());
    }
  });
}

template <class T>
std::vector<T> binary_integers(DType dtype, Arithmetic kind, std::vector<T> a, std::vector<T> b) {
  const BinaryKernel& kernel = binary_kernels().back();
  const auto n = static_cast<std::int64_t>(a.size());
  std::vector<T> out(a.size());
  const auto view = [&](std::vector<T>& v) { return TensorView{v.data(), dtype, 1, {n}, {1}, 1}; };
  const BinaryArgs args{{kind, dtype, n}, view(a), view(b), view(out), {}};
  CHECK(kernel.refuse(args.shape) == nullptr);
  CHECK(run_chunks(*kernel.code, args));
  return out;
}

TEST_CASE("integer arithmetic wraps, cuts towards zero and divides by zero to zero") {
  using I64 = std::vector<std::int64_t>;
  using I32 = std::vector<std::int32_t>;
  constexpr std::int32_t least = std::numeric_limits<std::int32_t>::min();
  CHECK(binary_integers<std::int64_t>(DType::int64, Arithmetic::add, {1, -5}, {2, 3}) == I64{3, -2});
  CHECK(binary_integers<std::int64_t>(DType::int64, Arithmetic::div, {7, -7, 5}, {2, 2, 0}) == I64{3, -3, 0});
  CHECK(binary_integers<std::int32_t>(DType::int32, Arithmetic::div, {least, 9}, {-1, -2}) == I32{least, -4});
  CHECK(binary_integers<std::int32_t>(DType::int32, Arithmetic::sub, {least}, {1}) == I32{std::numeric_limits<std::int32_t>::max()});
  CHECK(binary_integers<std::int32_t>(DType::int32, Arithmetic::mul, {65536, 3}, {65536, -4}) == I32{0, -12});
  CHECK(binary_integers<std::int8_t>(DType::int8, Arithmetic::add, {127}, {1}) == std::vector<std::int8_t>{-128});
  CHECK(binary_integers<std::uint8_t>(DType::uint8, Arithmetic::sub, {0}, {1}) == std::vector<std::uint8_t>{255});
  CHECK(binary_integers<std::int32_t>(DType::int32, Arithmetic::pow, {3, 2, -1, 5}, {4, -1, -3, 0}) == I32{81, 0, -1, 1});
  for (const BinaryKernel& kernel : binary_kernels()) CHECK(kernel.refuse({Arithmetic::add, DType::int4, 1}) != nullptr);
}

TEST_CASE("comparisons give bool, and NaN is neither less nor equal nor greater") {
  const BinaryKernel& kernel = binary_kernels().back();
  std::vector<float> a{1, 2, 3, NAN}, b{2, 2, 2, NAN};
  const auto compared = [&](Arithmetic kind) {
    std::vector<std::uint8_t> out(4, 7);
    const BinaryArgs args{{kind, DType::float32, 4},
                          {a.data(), DType::float32, 1, {4}, {1}, 1},
                          {b.data(), DType::float32, 1, {4}, {1}, 1},
                          {out.data(), DType::boolean, 1, {4}, {1}, 1},
                          {}};
    CHECK(run_chunks(*kernel.code, args));
    return out;
  };
  CHECK(compared(Arithmetic::less) == std::vector<std::uint8_t>{1, 0, 0, 0});
  CHECK(compared(Arithmetic::equal) == std::vector<std::uint8_t>{0, 1, 0, 0});
  CHECK(compared(Arithmetic::greater) == std::vector<std::uint8_t>{0, 0, 1, 0});
  for (const BinaryKernel& fast : binary_kernels())
    CHECK((&fast == &kernel) == (fast.refuse({Arithmetic::less, DType::float32, 1}) == nullptr));
}

TEST_CASE("every batch normalization agrees with the oracle") {
  for_each_kernel(batch_norm_kernels(), [](const BatchNormKernel& kernel) {
    for (int seed = 0; seed < 100; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      std::vector<std::int64_t> dims{rng.integer(1, 3), rng.integer(1, 40)};
      for (std::int64_t d = rng.integer(0, 2); d > 0; --d) dims.push_back(rng.integer(1, 30));
      Embedded<float> in(dims, DType::float32, rng, seed % 2 * 3), out(dims, DType::float32, rng, seed % 3);
      const BatchNormShape s{dims[0], dims[1], in.count() / dims[0] / dims[1]};
      if (!takes(kernel, s)) continue;
      in.assign(rng.reals(in.count()));
      const std::vector<float> gamma = rng.reals(s.channels), beta = rng.reals(s.channels), mean = rng.reals(s.channels),
                               variance = rng.reals(s.channels, 0.1f, 2);
      std::vector<double> expected;
      for (const float x : in.values()) {
        const std::size_t c = expected.size() / static_cast<std::size_t>(s.pixels) % static_cast<std::size_t>(s.channels);
        expected.push_back(gamma[c] * (static_cast<double>(x) - mean[c]) / std::sqrt(static_cast<double>(variance[c]) + 1e-3) + beta[c]);
      }
      const BatchNormArgs args{s, in.view(), out.view(), gamma.data(), beta.data(), mean.data(), variance.data(), 1e-3f};
      CHECK(run_chunks(*kernel.code, args));
      CHECK(count_off(out.values(), expected, std::vector<double>(expected.size(), 1e-5)) == 0);
      CHECK(out.surroundings_hold());
    }
  });
}

template <class To, class From>
std::vector<To> cast(DType from, DType to, std::vector<From> in) {
  const CastKernel& kernel = cast_kernels().back();
  std::vector<To> out(in.size());
  const auto n = static_cast<std::int64_t>(in.size());
  const CastArgs args{{from, to, n}, {in.data(), from, 1, {n}, {1}, 1}, {out.data(), to, 1, {n}, {1}, 1}};
  CHECK(takes(kernel, args.shape));
  CHECK(run_chunks(*kernel.code, args));
  return out;
}

TEST_CASE("casts") {
  using Codes = std::vector<std::uint16_t>;
  CHECK(cast<std::int8_t, float>(DType::float32, DType::int8, {1.9f, -1.9f, 300, -300, NAN}) ==
        std::vector<std::int8_t>{1, -1, 127, -128, 0});
  CHECK(cast<std::int64_t, float>(DType::float32, DType::int64, {1e30f, -1e30f}) ==
        std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()});
  CHECK(cast<std::uint8_t, std::int64_t>(DType::int64, DType::uint8, {-1, 257}) == std::vector<std::uint8_t>{255, 1});
  CHECK(cast<std::uint8_t, float>(DType::float32, DType::boolean, {0.0f, -0.0f, 0.25f, NAN}) == std::vector<std::uint8_t>{0, 0, 1, 1});
  CHECK(cast<float, std::uint64_t>(DType::uint64, DType::float32, {~0ull, 3}) == std::vector<float>{18446744073709551616.0f, 3});
  CHECK(cast<float, std::int64_t>(DType::int64, DType::float32, {16777217, -5}) == std::vector<float>{16777216, -5});
  CHECK(cast<std::uint16_t, float>(DType::float32, DType::float16, {1, -2, 65504, 65520, 0x1p-24f, 0x1p-25f, 1 + 0x1p-11f, -0.0f}) ==
        Codes{0x3c00, 0xc000, 0x7bff, 0x7c00, 0x0001, 0x0000, 0x3c00, 0x8000});
  CHECK(cast<std::uint16_t, float>(DType::float32, DType::bfloat16, {1, 1 + 0x1p-8f, 1 + 0x1.8p-7f}) == Codes{0x3f80, 0x3f80, 0x3f82});
  CHECK(cast<float, std::uint16_t>(DType::bfloat16, DType::float32, {0x3f80, 0xc000}) == std::vector<float>{1, -2});
}

TEST_CASE("packed types wrap around, and two of them share a byte") {
  std::vector<float> in{-1, 7, 8.9f, -9, 2}, back(5);
  std::vector<std::uint8_t> packed(3, 0);
  const TensorView reals{in.data(), DType::float32, 1, {5}, {1}, 1}, nibbles{packed.data(), DType::int4, 1, {5}, {1}, 1};
  CHECK(run_chunks(*cast_kernels().back().code, CastArgs{{DType::float32, DType::int4, 5}, reals, nibbles}));
  CHECK(packed == std::vector<std::uint8_t>{0x7f, 0x78, 0x02});
  CHECK(run_chunks(*cast_kernels().back().code,
                   CastArgs{{DType::int4, DType::float32, 5}, nibbles, {back.data(), DType::float32, 1, {5}, {1}, 1}}));
  CHECK(back == std::vector<float>{-1, 7, -8, 7, 2});
}

TEST_CASE("every 16-bit float survives the way to double and back") {
  for (const SmallFloat format : {kFloat16, kBfloat16}) {
    int lost = 0;
    for (int code = 0; code < 1 << 16; ++code) {
      const double value = decode(format, static_cast<std::uint16_t>(code));
      if (!std::isnan(value)) lost += encode(format, value) != code;
    }
    CHECK(lost == 0);
  }
}

}  // namespace
}  // namespace konv::test
