#include "engine/compress/masked.h"

#include <algorithm>
#include <cmath>

#include "engine/compress/surgeon.h"

namespace konv::compress {
namespace {

constexpr std::int64_t kBlockColumns = 64;  // whose weights compete with each other
constexpr int kIterations = 60;

Matrix damped_inverse(const Matrix& h) { return inverse(damped(h, kSurgeonDamping * std::max(mean_diagonal(h), 1e-30))); }

}  // namespace

std::vector<double> weight_losses(const Matrix& w, const Matrix& h) {
  const Matrix inverted = damped_inverse(h);
  std::vector<double> losses;
  losses.reserve(w.values.size());
  for (std::int64_t o = 0; o < w.rows; ++o) {
    for (std::int64_t j = 0; j < w.columns; ++j) losses.push_back(w.at(o, j) * w.at(o, j) / inverted.at(j, j));
  }
  std::sort(losses.begin(), losses.end());
  return losses;
}

Matrix weight_mask(Matrix w, const Matrix& h, double share) {
  const Matrix lower = cholesky(damped_inverse(h));  // rows of U are columns of L
  const std::int64_t k = w.columns;
  Matrix upper(k, k);
  for (std::int64_t i = 0; i < k; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) upper.at(j, i) = lower.at(i, j);
  }
  Matrix mask(w.rows, k);
  std::fill(mask.values.begin(), mask.values.end(), 1.0);
  for (std::int64_t first = 0; first < k; first += kBlockColumns) {
    const std::int64_t last = std::min(k, first + kBlockColumns);
    std::vector<std::pair<double, std::int64_t>> losses;  // (loss, o * K + j)
    for (std::int64_t o = 0; o < w.rows; ++o) {
      for (std::int64_t j = first; j < last; ++j) {
        const double step = w.at(o, j) / upper.at(j, j);
        losses.emplace_back(step * step, o * k + j);
      }
    }
    const auto gone = losses.begin() + static_cast<std::ptrdiff_t>(std::llround(share * static_cast<double>(losses.size())));
    std::nth_element(losses.begin(), gone == losses.end() ? gone - 1 : gone, losses.end());
    for (auto it = losses.begin(); it != gone; ++it) mask.values[static_cast<std::size_t>(it->second)] = 0;
    for (std::int64_t o = 0; o < w.rows; ++o) {
      for (std::int64_t j = first; j < last; ++j) {
        if (mask.at(o, j) > 0) continue;
        const auto from = static_cast<std::size_t>(j);
        add_scaled(w.row(o).subspan(from), -w.at(o, j) / upper.at(j, j), upper.row(j).subspan(from));
      }
    }
  }
  return mask;
}

Matrix masked_fit(const Matrix& h, const Matrix& t, const Matrix& original, double damping, const Matrix& mask, const Matrix& start) {
  const double amount = damping * std::max(mean_diagonal(h), 1e-30);
  const std::size_t k = static_cast<std::size_t>(h.rows);
  Matrix result = start;
  std::vector<double> r(k), z(k), p(k), hp(k);
  const auto times = [&](std::span<const double> x, std::span<const double> keep, std::vector<double>& y) {
    std::fill(y.begin(), y.end(), 0.0);
    for (std::size_t i = 0; i < k; ++i) {
      if (x[i] != 0) add_scaled(y, x[i], h.row(static_cast<std::int64_t>(i)));
    }
    for (std::size_t i = 0; i < k; ++i) y[i] = (y[i] + amount * x[i]) * keep[i];
  };
  for (std::int64_t o = 0; o < result.rows; ++o) {
    const std::span<double> x = result.row(o);
    const std::span<const double> keep = mask.row(o);
    for (std::size_t i = 0; i < k; ++i) x[i] *= keep[i];
    const auto precondition = [&] {
      double rz = 0;
      for (std::size_t i = 0; i < k; ++i) {
        z[i] = r[i] / (h.at(static_cast<std::int64_t>(i), static_cast<std::int64_t>(i)) + amount);
        rz += r[i] * z[i];
      }
      return rz;
    };
    times(x, keep, hp);
    for (std::size_t i = 0; i < k; ++i) r[i] = (t.row(o)[i] + amount * original.row(o)[i]) * keep[i] - hp[i];
    double rz = precondition();
    const double enough = 1e-10 * rz;
    p = z;
    for (int iteration = 0; iteration < kIterations && rz > enough; ++iteration) {
      times(p, keep, hp);
      const double php = dot(p, hp);
      if (php <= 0) break;
      const double step = rz / php;
      add_scaled(x, step, p);
      add_scaled(r, -step, hp);
      const double next = precondition();
      for (std::size_t i = 0; i < k; ++i) p[i] = z[i] + next / rz * p[i];
      rz = next;
    }
  }
  return result;
}

}  // namespace konv::compress
