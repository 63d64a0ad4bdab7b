// The parts of compression that work on matrices alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/compress/budget.h"
#include "engine/compress/masked.h"
#include "engine/compress/matrix.h"
#include "engine/compress/rounding.h"
#include "engine/compress/surgeon.h"
#include "tests/support/random.h"

namespace konv::test {
namespace {

using namespace konv::compress;

Matrix random_matrix(Rng& rng, std::int64_t rows, std::int64_t columns) {
  Matrix m(rows, columns);
  for (double& x : m.values) x = static_cast<double>(rng.real());
  return m;
}

/// The covariance of `n` samples whose coordinates depend on each other.
Matrix random_covariance(Rng& rng, std::int64_t k) {
  const Matrix mix = random_matrix(rng, k, k + 3);
  Matrix h(k, k);
  for (std::int64_t i = 0; i < k; ++i) {
    for (std::int64_t j = 0; j < k; ++j) h.at(i, j) = dot(mix.row(i), mix.row(j));
  }
  return h;
}

/// (a - b) h (a - b)' summed over rows.
double output_error(const Matrix& a, const Matrix& b, const Matrix& h) {
  double sum = 0;
  for (std::int64_t o = 0; o < a.rows; ++o) {
    std::vector<double> d(static_cast<std::size_t>(a.columns));
    for (std::int64_t i = 0; i < a.columns; ++i) d[static_cast<std::size_t>(i)] = a.at(o, i) - b.at(o, i);
    for (std::int64_t i = 0; i < a.columns; ++i) sum += d[static_cast<std::size_t>(i)] * dot(h.row(i), d);
  }
  return sum;
}

Matrix real(const std::vector<RoundedRow>& rows, std::int64_t k) {
  Matrix m(std::ssize(rows), k);
  for (std::int64_t o = 0; o < m.rows; ++o) {
    for (std::int64_t i = 0; i < k; ++i)
      m.at(o, i) = rows[static_cast<std::size_t>(o)].scale * rows[static_cast<std::size_t>(o)].q[static_cast<std::size_t>(i)];
  }
  return m;
}

TEST_CASE("inverse and solve undo a product") {
  Rng rng(1);
  for (const std::int64_t k : {1, 2, 7, 40}) {
    const Matrix a = damped(random_covariance(rng, k), 0.1), inverted = inverse(a), x = random_matrix(rng, 3, k);
    Matrix product(3, k);
    for (std::int64_t r = 0; r < 3; ++r) {
      for (std::int64_t j = 0; j < k; ++j) product.at(r, j) = dot(x.row(r), a.row(j));
    }
    const Matrix solved = solve_rows(a, product);
    for (std::int64_t i = 0; i < k; ++i) {
      for (std::int64_t j = 0; j < k; ++j) CHECK(std::fabs(dot(a.row(i), inverted.row(j)) - (i == j)) < 1e-8);
      for (std::int64_t r = 0; r < 3; ++r) CHECK(std::fabs(solved.at(r, i) - x.at(r, i)) < 1e-8);
    }
  }
}

TEST_CASE("each way of rounding errs less than the one before, on the grid") {
  Rng rng(2);
  for (const int bits : {2, 4, 8}) {
    CAPTURE(bits);
    const std::int64_t k = 36;
    const Matrix h = random_covariance(rng, k), w = random_matrix(rng, 12, k);
    double before = INFINITY;
    for (const Rounding rounding : {Rounding::nearest, Rounding::gptq, Rounding::full}) {
      const std::vector<RoundedRow> rows = round_weights(w, h, bits, rounding);
      REQUIRE(rows.size() == 12);
      const int half = 1 << (bits - 1);
      for (const RoundedRow& row : rows) {
        CHECK(row.scale > 0);
        const auto [least, most] = std::minmax_element(row.q.begin(), row.q.end());
        CHECK(*least >= (row.mirrored ? -(half - 1) : -half));
        CHECK(*most <= (row.mirrored ? half : half - 1));
      }
      const double error = output_error(real(rows, k), w, h);
      CHECK(error < before * (bits == 8 ? 1.0 : 0.9));
      before = error;
    }
  }
}

TEST_CASE("rounding finds what is on the grid already") {
  Rng rng(3);
  const std::int64_t k = 20;
  Matrix w(4, k);
  for (double& x : w.values) x = 0.25 * static_cast<double>(rng.integer(-8, 7));
  for (std::int64_t o = 0; o < 4; ++o) w.at(o, 0) = -2, w.at(o, 1) = 1.75;
  CHECK(output_error(real(round_weights(w, random_covariance(rng, k), 4, Rounding::full), k), w, random_covariance(rng, k)) < 1e-6);
}

/// The least error that weights on `keep` alone can have.
double refitted_error(const Matrix& w, const Matrix& h, const std::vector<std::int32_t>& keep) {
  Matrix t(w.rows, w.columns);
  for (std::int64_t o = 0; o < w.rows; ++o) {
    for (std::int64_t j = 0; j < w.columns; ++j) t.at(o, j) = dot(w.row(o), h.row(j));
  }
  const Matrix fitted = solve_rows(submatrix(h, keep), columns_of(t, keep));
  Matrix all(w.rows, w.columns);
  for (std::int64_t o = 0; o < w.rows; ++o) {
    for (std::size_t i = 0; i < keep.size(); ++i) all.at(o, keep[i]) = fitted.at(o, static_cast<std::int64_t>(i));
  }
  return output_error(all, w, h);
}

TEST_CASE("the surgeon's loss is the error after refitting, and its first cut the best one") {
  Rng rng(4);
  for (const std::int64_t granularity : {1, 2}) {
    CAPTURE(granularity);
    const std::int64_t channels = 6, taps = 2, k = channels * taps;
    const Matrix h = random_covariance(rng, k), w = random_matrix(rng, 5, k);
    const RowGroups groups = row_groups(channels, taps, granularity);
    const Removal removal = removal_order(w, h, groups, groups.size());
    REQUIRE(removal.order.size() == groups.size());
    double best = INFINITY;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      std::vector<std::int32_t> keep;
      for (std::int32_t i = 0; i < k; ++i) {
        if (std::find(groups[g].begin(), groups[g].end(), i) == groups[g].end()) keep.push_back(i);
      }
      best = std::min(best, refitted_error(w, h, keep));
    }
    for (const std::size_t count : {std::size_t{1}, groups.size() / 2}) {
      const double error = refitted_error(w, h, kept_rows(groups, removal, count));
      CHECK(std::fabs(removal.loss[count - 1] - error) < 0.02 * error + 1e-9);  // the surgeon works on a slightly damped h
      if (count == 1) CHECK(error < 1.02 * best);
    }
  }
}

TEST_CASE("the budget is spent where it costs least") {
  const LayerCurve cheap{{0.1, 0.2, 0.3, 9}, {1, 1, 1, 1}, 1, 4}, dear{{2, 4, 6, 8}, {1, 1, 1, 1}, 1, 4},
      free{{0, 0, 1, 2}, {1, 1, 1, 1}, 1, 4};
  CHECK(allocate({cheap, dear}, 0.0) == std::vector<std::size_t>{0, 0});
  CHECK(allocate({cheap, dear}, 0.25) == std::vector<std::size_t>{2, 0});
  CHECK(allocate({cheap, dear}, 0.5) == std::vector<std::size_t>{3, 1});
  CHECK(allocate({free, dear}, 0.0) == std::vector<std::size_t>{2, 0});
}

TEST_CASE("masked weights: as many zeros as asked for, the rest as good as least squares allow") {
  Rng rng(6);
  const std::int64_t k = 90, outputs = 7;
  const Matrix h = random_covariance(rng, k), w = random_matrix(rng, outputs, k);
  Matrix t(outputs, k);
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t j = 0; j < k; ++j) t.at(o, j) = dot(w.row(o), h.row(j));
  }
  const Matrix mask = weight_mask(w, h, 0.4);
  const double ones = std::accumulate(mask.values.begin(), mask.values.end(), 0.0);
  CHECK(std::fabs(ones - 0.6 * static_cast<double>(k * outputs)) < 2);
  const Matrix fitted = masked_fit(h, t, w, 1e-6, mask, w);
  double plain_error = 0, exact_error = 0;
  for (std::int64_t o = 0; o < outputs; ++o) {
    std::vector<std::int32_t> keep;
    Matrix cut(1, k), row(1, k);
    for (std::int32_t j = 0; j < k; ++j) {
      row.at(0, j) = w.at(o, j);
      cut.at(0, j) = w.at(o, j) * mask.at(o, j);
      if (mask.at(o, j) > 0) keep.push_back(j);
      if (mask.at(o, j) <= 0) CHECK(fitted.at(o, j) == 0);
    }
    exact_error += refitted_error(row, h, keep);
    plain_error += output_error(cut, row, h);
  }
  CHECK(output_error(fitted, w, h) < 1.05 * exact_error + 1e-9);
  CHECK(output_error(fitted, w, h) < 0.5 * plain_error);
}

}  // namespace
}  // namespace konv::test
