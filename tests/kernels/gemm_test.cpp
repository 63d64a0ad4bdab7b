#include "kernels/cpu/gemm/gemm.h"

#include "kernels/base/bfloat16.h"
#include "tests/kernels/harness.h"

namespace konv::test {
namespace {

/// A matrix [batch, rows, columns] that lies by rows or by columns, with gaps, perhaps with no unit stride at all.
class Matrix {
 public:
  Matrix(std::int64_t batch, std::int64_t rows, std::int64_t columns, bool transposed, bool unit, Rng& rng)
      : data_({batch, transposed ? columns : rows, transposed ? rows : columns, unit ? 1 : 2}, DType::float32, rng, unit ? 0 : 1),
        view_(data_.view()),
        batch_(batch),
        rows_(rows),
        columns_(columns) {
    const std::int64_t row = view_.strides[1], column = view_.strides[2];
    view_.rank = 3;
    view_.dims[1] = rows, view_.dims[2] = columns;
    view_.strides[1] = transposed ? column : row;
    view_.strides[2] = transposed ? row : column;
  }

  const TensorView& view() const { return view_; }
  float& at(std::int64_t z, std::int64_t i, std::int64_t j) const {
    return view_.f32()[z * view_.strides[0] + i * view_.strides[1] + j * view_.strides[2]];
  }
  template <class F>
  void for_each(const F& f) const {
    for (std::int64_t z = 0; z < batch_; ++z) {
      for (std::int64_t i = 0; i < rows_; ++i) {
        for (std::int64_t j = 0; j < columns_; ++j) f(at(z, i, j), z, i, j);
      }
    }
  }
  bool surroundings_hold() {
    for_each([](float& x, auto, auto, auto) { x = 77; });
    return data_.surroundings_hold();
  }

 private:
  Embedded<float> data_;
  TensorView view_;
  std::int64_t batch_, rows_, columns_;
};

double activated(const Activation& a, double x) { return a.kind == ActivationKind::relu ? std::max(x, 0.0) : x; }

TEST_CASE("every matrix product agrees with the oracle") {
  for_each_kernel(gemm_kernels(), [](const GemmKernel& kernel) {
    int ran = 0;
    for (int seed = 0; seed < 300; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      const auto size = [&] { return rng.pick({rng.integer(1, 5), rng.integer(1, 40), 16 * rng.integer(1, 4) + rng.integer(-1, 1)}); };
      GemmShape s{rng.integer(1, 3), seed % 5 ? size() : 1, size(), seed % 11 ? size() : rng.integer(250, 800), rng.chance(0.5)};
      s.unit_stride_a = rng.chance(0.8), s.unit_stride_b = rng.chance(0.8), s.unit_stride_out = rng.chance(0.8);
      const bool a_by_columns = rng.chance(0.4), b_by_columns = rng.chance(0.6);
      s.k_innermost = !a_by_columns && b_by_columns && s.unit_stride_a && s.unit_stride_b;
      s.constant_b = !a_by_columns && s.unit_stride_a && rng.chance(0.5);
      Matrix a(s.batch, s.m, s.k, a_by_columns, s.unit_stride_a, rng), b(s.batch, s.k, s.n, b_by_columns, s.unit_stride_b, rng);
      Matrix c(1, s.m, s.n, false, true, rng), out(s.batch, s.m, s.n, rng.chance(0.3), s.unit_stride_out, rng);
      if (!takes(kernel, s)) continue;
      ++ran;
      for (Matrix* m : {&a, &b, &c}) m->for_each([&](float& x, auto, auto, auto) { x = rng.real(); });

      GemmArgs args{s,          a.view(),          b.view(),   {},
                    out.view(), rng.real(0.5f, 2), rng.real(), {rng.chance(0.5) ? ActivationKind::relu : ActivationKind::none, 0, 0}};
      if (rng.chance(0.2)) args.a.strides[0] = 0;  // one matrix for the whole batch
      if (s.constant_b) args.b.strides[0] = 0;
      const bool packs = kernel.code->b_type == DType::bfloat16;
      const auto b_at = [&](std::int64_t z, std::int64_t p, std::int64_t j) {
        const float x = b.at(s.constant_b ? 0 : z, p, j);
        return packs ? float_from_bfloat16(bfloat16_from_float(x)) : x;
      };
      std::vector<std::uint16_t> packed(static_cast<std::size_t>(packs ? s.k * s.n : 0));
      if (packs) {
        pack_columns(args.b, packed.data());
        args.b = packed_columns(args.b, packed.data());
      }
      const bool c_is_a_row = rng.chance(0.5);
      if (s.has_c) {
        args.c = c.view();
        args.c.dims[0] = s.batch;
        args.c.strides[0] = 0;
        if (c_is_a_row) args.c.strides[1] = 0;
      }
      std::vector<double> expected, allowed;
      out.for_each([&](float&, std::int64_t z, std::int64_t i, std::int64_t j) {
        double sum = 0, magnitude = 0;
        for (std::int64_t p = 0; p < s.k; ++p) {
          const double product = static_cast<double>(a.at(args.a.strides[0] ? z : 0, i, p)) * b_at(z, p, j);
          sum += product;
          magnitude += std::fabs(product);
        }
        const double addend = s.has_c ? static_cast<double>(args.beta) * c.at(0, c_is_a_row ? 0 : i, j) : 0;
        expected.push_back(activated(args.activation, args.alpha * sum + addend));
        allowed.push_back(sum_error(s.k, args.alpha * magnitude + std::fabs(addend)) + 1e-7);
      });
      const auto values = [&] {
        std::vector<float> v;
        out.for_each([&](float& x, auto, auto, auto) { v.push_back(x); });
        return v;
      };
      CHECK(run_chunks(*kernel.code, args));
      const std::vector<float> result = values();
      CHECK(count_off(result, expected, allowed) == 0);
      CHECK(run_chunks(*kernel.code, args, Order::backward));
      CHECK(same_bits(result, values()));
      CHECK(out.surroundings_hold());
    }
    CHECK_MESSAGE(ran >= 20, "the shapes hardly reach this kernel");
  });
}

TEST_CASE("matrix products: operands without any stride are constants") {
  for_each_kernel(gemm_kernels(), [](const GemmKernel& kernel) {
    float two = 2, three = 3;
    std::vector<float> out(35, 0);
    GemmArgs args{{1, 5, 7, 4, false}, {}, {}, {}, {}, 1, 1, {}};
    args.a = {&two, DType::float32, 2, {5, 4}, {0, 0}, 1};
    args.b = {&three, DType::float32, 2, {4, 7}, {0, 0}, 1};
    args.out = {out.data(), DType::float32, 2, {5, 7}, {7, 1}, 1};
    if (kernel.refuse(args.shape)) return;
    CHECK(run_chunks(*kernel.code, args));
    CHECK(out == std::vector<float>(35, 24.0f));
  });
}

}  // namespace
}  // namespace konv::test
