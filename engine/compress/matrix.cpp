#include "engine/compress/matrix.h"

#include <algorithm>
#include <cmath>

namespace konv::compress {

double dot(std::span<const double> a, std::span<const double> b) {
  // Eight sums side by side, so that the loop is vectorised in a fixed order.
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= a.size(); i += 8) {
    for (std::size_t l = 0; l < 8; ++l) sums[l] += a[i + l] * b[i + l];
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  for (; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}

void add_scaled(std::span<double> y, double factor, std::span<const double> x) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += factor * x[i];
}

Matrix cholesky(const Matrix& a) {
  Matrix l(a.rows, a.rows);
  const double least = 1e-12 * std::max(mean_diagonal(a), 1e-300);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    const auto upto = [&](std::int64_t r, std::int64_t n) { return l.row(r).first(static_cast<std::size_t>(n)); };
    for (std::int64_t j = 0; j < i; ++j) l.at(i, j) = (a.at(i, j) - dot(upto(i, j), upto(j, j))) / l.at(j, j);
    l.at(i, i) = std::sqrt(std::max(a.at(i, i) - dot(upto(i, i), upto(i, i)), least));
  }
  return l;
}

Matrix inverse(const Matrix& a) {
  const Matrix l = cholesky(a);
  const std::int64_t n = a.rows;
  // Rows of the transposed inverse of L: t[j] holds column j of L^-1, which begins at j.
  Matrix t(n, n);
  for (std::int64_t j = 0; j < n; ++j) {
    t.at(j, j) = 1 / l.at(j, j);
    for (std::int64_t i = j + 1; i < n; ++i) {
      const auto size = static_cast<std::size_t>(i - j);
      t.at(j, i) =
          -dot(l.row(i).subspan(static_cast<std::size_t>(j), size), t.row(j).subspan(static_cast<std::size_t>(j), size)) / l.at(i, i);
    }
  }
  Matrix result(n, n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i; j < n; ++j) {
      const auto from = static_cast<std::size_t>(j);
      result.at(i, j) = result.at(j, i) = dot(t.row(i).subspan(from), t.row(j).subspan(from));
    }
  }
  return result;
}

Matrix solve_rows(const Matrix& a, const Matrix& x) {
  const Matrix l = cholesky(a);
  const std::int64_t n = a.rows;
  Matrix lt(n, n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) lt.at(j, i) = l.at(i, j);
  }
  Matrix result = x;
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const std::span<double> y = result.row(r);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto size = static_cast<std::size_t>(i);
      y[size] = (y[size] - dot(l.row(i).first(size), y.first(size))) / l.at(i, i);
    }
    for (std::int64_t i = n; i-- > 0;) {
      const auto at = static_cast<std::size_t>(i);
      y[at] = (y[at] - dot(lt.row(i).subspan(at + 1), y.subspan(at + 1))) / l.at(i, i);
    }
  }
  return result;
}

Matrix damped(Matrix a, double amount) {
  for (std::int64_t i = 0; i < a.rows; ++i) a.at(i, i) += amount;
  return a;
}

double mean_diagonal(const Matrix& a) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.rows; ++i) sum += a.at(i, i);
  return a.rows ? sum / static_cast<double>(a.rows) : 0;
}

Matrix submatrix(const Matrix& a, std::span<const std::int32_t> keep) {
  Matrix result(std::ssize(keep), std::ssize(keep));
  for (std::size_t i = 0; i < keep.size(); ++i) {
    for (std::size_t j = 0; j < keep.size(); ++j)
      result.at(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)) = a.at(keep[i], keep[j]);
  }
  return result;
}

Matrix columns_of(const Matrix& a, std::span<const std::int32_t> keep) {
  Matrix result(a.rows, std::ssize(keep));
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::size_t j = 0; j < keep.size(); ++j) result.at(i, static_cast<std::int64_t>(j)) = a.at(i, keep[j]);
  }
  return result;
}

}  // namespace konv::compress
