// Small dense linear algebra in double, for the statistics of one layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace konv::compress {

/// Row-major.
struct Matrix {
  Matrix() = default;
  Matrix(std::int64_t r, std::int64_t c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}

  double& at(std::int64_t r, std::int64_t c) { return values[static_cast<std::size_t>(r * columns + c)]; }
  double at(std::int64_t r, std::int64_t c) const { return values[static_cast<std::size_t>(r * columns + c)]; }
  std::span<double> row(std::int64_t r) { return {&values[static_cast<std::size_t>(r * columns)], static_cast<std::size_t>(columns)}; }
  std::span<const double> row(std::int64_t r) const {
    return {&values[static_cast<std::size_t>(r * columns)], static_cast<std::size_t>(columns)};
  }

  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;
};

/// The lower triangle L with L L' = a, a symmetric and positive definite. Pivots that rounding made smaller are kept away from zero.
Matrix cholesky(const Matrix& a);

/// The inverse of a symmetric positive definite matrix.
Matrix inverse(const Matrix& a);

/// x a^-1 for every row of x, a symmetric positive definite.
Matrix solve_rows(const Matrix& a, const Matrix& x);

/// a + amount I.
Matrix damped(Matrix a, double amount);

double mean_diagonal(const Matrix& a);

/// Rows and columns `keep` of a.
Matrix submatrix(const Matrix& a, std::span<const std::int32_t> keep);
/// Columns `keep` of a.
Matrix columns_of(const Matrix& a, std::span<const std::int32_t> keep);

double dot(std::span<const double> a, std::span<const double> b);
/// y += factor x
void add_scaled(std::span<double> y, double factor, std::span<const double> x);

}  // namespace konv::compress
