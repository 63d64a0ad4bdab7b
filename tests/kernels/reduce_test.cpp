// Reductions and softmax.
#include "kernels/cpu/reduce/reduce.h"

#include "kernels/cpu/softmax/softmax.h"
#include "tests/kernels/harness.h"

namespace konv::test {
namespace {

TEST_CASE("every reduction agrees with the oracle") {
  for_each_kernel(reduce_kernels(), [](const ReduceKernel& kernel) {
    for (int seed = 0; seed < 300; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      std::vector<std::int64_t> dims;
      const std::int64_t kept = rng.integer(0, 2), reduced = rng.integer(1, 2);
      for (std::int64_t d = 0; d < kept + reduced; ++d) dims.push_back(rng.integer(1, kept + reduced > 2 ? 12 : 90));
      Embedded<float> in(dims, DType::float32, rng, seed % 2 * 3);
      Embedded<float> out(std::vector<std::int64_t>(dims.begin(), dims.begin() + kept), DType::float32, rng, seed % 3);
      TensorView in_view = in.view();
      if (rng.chance(0.3) && kept + reduced > 1) {  // another dimension is the contiguous one
        std::swap(in_view.strides[0], in_view.strides[kept + reduced - 1]);
        if (dims.front() != dims.back()) continue;
      }
      const std::int64_t size = in.count() / std::max<std::int64_t>(1, out.count());
      const ReduceArgs args{{static_cast<Reduction>(seed % 10), out.count(), size}, in_view, out.view()};
      if (!takes(kernel, args.shape)) continue;
      const Reduction kind = args.shape.kind;
      in.assign(kind == Reduction::log_sum ? rng.reals(in.count(), 0.1f, 1) : rng.reals(in.count()));
      std::vector<double> expected, allowed;
      for (std::int64_t o = 0; o < out.count(); ++o) {
        double sum = 0, magnitude = 0, high = -INFINITY, low = INFINITY, squares = 0, exponentials = 0, product = 1;
        for (std::int64_t i = 0; i < size; ++i) {
          std::int64_t flat = o * size + i, offset = 0;
          for (int d = in_view.rank - 1; d >= 0; flat /= in_view.dims[d--]) offset += flat % in_view.dims[d] * in_view.strides[d];
          const double x = in_view.f32()[offset];
          sum += x;
          magnitude += std::fabs(x);
          high = std::max(high, x);
          low = std::min(low, x);
          squares += x * x;
          exponentials += std::exp(x);
          product *= x;
        }
        const double scale = kind == Reduction::mean ? 1.0 / static_cast<double>(size) : 1.0;
        double value = sum * scale, error = sum_error(size, magnitude * scale);
        switch (kind) {
          case Reduction::mean:
          case Reduction::sum: break;
          case Reduction::max: value = high, error = 0; break;
          case Reduction::min: value = low, error = 0; break;
          case Reduction::prod: value = product, error = 1e-6; break;
          case Reduction::l1: value = magnitude; break;
          case Reduction::l2: value = std::sqrt(squares), error = 1e-6 * value; break;
          case Reduction::sum_square: value = squares, error = 1e-6 * value; break;
          case Reduction::log_sum: value = std::log(sum), error = 1e-5; break;
          case Reduction::log_sum_exp: value = std::log(exponentials), error = 1e-5; break;
        }
        expected.push_back(value);
        allowed.push_back(error);
      }
      CHECK(run_chunks(*kernel.code, args));
      const std::vector<float> result = out.values();
      CHECK(count_off(result, expected, allowed) == 0);
      CHECK(run_chunks(*kernel.code, args, Order::backward));
      CHECK(same_bits(result, out.values()));
      CHECK(out.surroundings_hold());
    }
  });
}

TEST_CASE("every softmax agrees with the oracle, however large the numbers") {
  for_each_kernel(softmax_kernels(), [](const SoftmaxKernel& kernel) {
    for (int seed = 0; seed < 100; ++seed) {
      CAPTURE(seed);
      Rng rng(static_cast<std::uint64_t>(seed));
      const SoftmaxShape s{rng.integer(1, 9), rng.integer(1, 300), rng.chance(0.5) ? 1 : rng.integer(1, 150)};
      if (!takes(kernel, s)) continue;
      const std::int64_t count = s.outer * s.size * s.inner;
      const float range = seed % 3 ? 4.0f : 3e4f;
      std::vector<float> in = rng.reals(count, -range, range), out(in.size());
      std::vector<double> expected(in.size());
      for (std::int64_t o = 0; o < s.outer; ++o) {
        for (std::int64_t j = 0; j < s.inner; ++j) {
          const auto at = [&](std::int64_t i) { return static_cast<std::size_t>((o * s.size + i) * s.inner + j); };
          double largest = -INFINITY, sum = 0;
          for (std::int64_t i = 0; i < s.size; ++i) largest = std::max<double>(largest, in[at(i)]);
          for (std::int64_t i = 0; i < s.size; ++i) sum += std::exp(in[at(i)] - largest);
          for (std::int64_t i = 0; i < s.size; ++i) expected[at(i)] = std::exp(in[at(i)] - largest) / sum;
        }
      }
      const auto view = [&](std::vector<float>& v) {
        return TensorView{v.data(), DType::float32, 3, {s.outer, s.size, s.inner}, {s.size * s.inner, s.inner, 1}, 1};
      };
      CHECK(run_chunks(*kernel.code, SoftmaxArgs{s, view(in), view(out)}));
      CHECK(count_off(out, expected, std::vector<double>(in.size(), 1e-6)) == 0);
      std::vector<float> again(in.size());
      CHECK(run_chunks(*kernel.code, SoftmaxArgs{s, view(in), view(again)}, Order::backward));
      CHECK(same_bits(out, again));
    }
  });
}

}  // namespace
}  // namespace konv::test
