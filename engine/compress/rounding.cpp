#include "engine/compress/rounding.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace konv::compress {
namespace {

constexpr double kDamping = 0.01;  // of the mean diagonal
constexpr int kSweeps = 40;

/// The integers that a row may use.
struct Grid {
  int low, high;
  int nearest(double x) const {
    return static_cast<int>(std::clamp(std::nearbyint(x), static_cast<double>(low), static_cast<double>(high)));
  }
};

Grid grid_of(int bits, bool mirrored) {
  const int half = 1 << (bits - 1);
  return mirrored ? Grid{-(half - 1), half} : Grid{-half, half - 1};
}

/// The scale of a grid of shrinking ones whose rounding errors, weighted by the diagonal of H, are smallest.
double best_scale(std::span<const double> w, std::span<const double> diagonal, const Grid& grid) {
  double least = 0, most = 0;
  for (const double x : w) least = std::min(least, x), most = std::max(most, x);
  const double full = std::max(most / grid.high, grid.low < 0 ? least / grid.low : 0.0);
  if (full <= 0) return 0;
  double best = full, best_error = INFINITY;
  for (double shrink = 1.0; shrink > 0.195; shrink -= 0.01) {
    const double scale = full * shrink;
    double error = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double e = w[i] - scale * grid.nearest(w[i] / scale);
      error += diagonal[i] * e * e;
    }
    if (error < best_error) best_error = error, best = scale;
  }
  return best;
}

/// Everything about H that rows share.
struct Shared {
  Matrix h;                         ///< damped, dead columns made harmless
  std::vector<std::int32_t> order;  ///< columns by falling diagonal
  Matrix upper;                     ///< U of (H + l I)^-1 = U' U in that order
  std::vector<bool> dead;
};

Shared prepare(const Matrix& h, Rounding rounding) {
  Shared shared;
  const std::int64_t k = h.rows;
  shared.h = damped(h, 1e-6 * std::max(mean_diagonal(h), 1e-300));
  shared.dead.resize(static_cast<std::size_t>(k));
  for (std::int64_t i = 0; i < k; ++i) shared.dead[static_cast<std::size_t>(i)] = h.at(i, i) <= 1e-9 * mean_diagonal(h);
  if (rounding == Rounding::nearest) return shared;
  shared.order.resize(static_cast<std::size_t>(k));
  std::iota(shared.order.begin(), shared.order.end(), 0);
  std::stable_sort(shared.order.begin(), shared.order.end(), [&](std::int32_t a, std::int32_t b) { return h.at(a, a) > h.at(b, b); });
  const Matrix inverted = inverse(damped(submatrix(h, shared.order), kDamping * std::max(mean_diagonal(h), 1e-300)));
  const Matrix lower = cholesky(inverted);
  shared.upper = Matrix(k, k);  // rows of U are columns of L
  for (std::int64_t i = 0; i < k; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) shared.upper.at(j, i) = lower.at(i, j);
  }
  return shared;
}

std::vector<std::int32_t> gptq(std::span<const double> w, const Shared& shared, double scale, const Grid& grid) {
  const std::size_t k = w.size();
  std::vector<double> left(k);
  for (std::size_t i = 0; i < k; ++i) left[i] = w[static_cast<std::size_t>(shared.order[i])];
  std::vector<std::int32_t> q(k);
  for (std::size_t i = 0; i < k; ++i) {
    const int rounded = grid.nearest(left[i] / scale);
    const std::span<const double> u = shared.upper.row(static_cast<std::int64_t>(i));
    const double error = (left[i] - scale * rounded) / u[i];
    add_scaled(std::span(left).subspan(i), -error, u.subspan(i));
    q[static_cast<std::size_t>(shared.order[i])] = rounded;
  }
  return q;
}

/// Error of a row and its descent: g = H (s q - w) is kept up to date while single integers change.
class Descent {
 public:
  Descent(std::span<const double> w, const Matrix& h) : w_(w), h_(h), hw_(w.size()), hq_(w.size()) {
    for (std::size_t i = 0; i < w.size(); ++i) hw_[i] = dot(h.row(static_cast<std::int64_t>(i)), w);
    whw_ = dot(w, hw_);
  }

  void start(const std::vector<std::int32_t>& q, double scale) {
    scale_ = scale;
    std::fill(hq_.begin(), hq_.end(), 0.0);
    for (std::size_t i = 0; i < q.size(); ++i) {
      if (q[i]) add_scaled(hq_, q[i], h_.row(static_cast<std::int64_t>(i)));
    }
  }

  double error(const std::vector<std::int32_t>& q) const {
    double qhq = 0, qhw = 0;
    for (std::size_t i = 0; i < q.size(); ++i) qhq += q[i] * hq_[i], qhw += q[i] * hw_[i];
    return scale_ * scale_ * qhq - 2 * scale_ * qhw + whw_;
  }

  /// s = (q' H w) / (q' H q)
  void refit_scale(const std::vector<std::int32_t>& q) {
    double qhq = 0, qhw = 0;
    for (std::size_t i = 0; i < q.size(); ++i) qhq += q[i] * hq_[i], qhw += q[i] * hw_[i];
    if (qhq > 0 && qhw > 0) scale_ = qhw / qhq;
  }

  /// One integer after the other to where the error is least. Returns how many moved.
  int sweep(std::vector<std::int32_t>& q, const Grid& grid) {
    int moved = 0;
    for (std::size_t i = 0; i < q.size(); ++i) {
      const double hii = h_.at(static_cast<std::int64_t>(i), static_cast<std::int64_t>(i));
      if (hii <= 0) continue;
      const int better = grid.nearest(q[i] - (scale_ * hq_[i] - hw_[i]) / (scale_ * hii));
      if (better == q[i]) continue;
      add_scaled(hq_, better - q[i], h_.row(static_cast<std::int64_t>(i)));
      q[i] = better;
      ++moved;
    }
    return moved;
  }

  double scale() const { return scale_; }

 private:
  std::span<const double> w_;
  const Matrix& h_;
  std::vector<double> hw_, hq_;
  double whw_ = 0, scale_ = 1;
};

void descend(Descent& descent, std::vector<std::int32_t>& q, const Grid& grid) {
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    const double before = descent.scale();
    descent.refit_scale(q);
    const bool settled = std::fabs(descent.scale() - before) <= 1e-6 * before;
    if (descent.sweep(q, grid) == 0 && settled) break;
  }
  descent.refit_scale(q);
}

RoundedRow round_on(const Grid& grid, std::span<const double> w, const Shared& shared, std::span<const double> diagonal, Descent& descent,
                    Rounding rounding, double& error) {
  RoundedRow best{.scale = best_scale(w, diagonal, grid), .q = std::vector<std::int32_t>(w.size())};
  if (best.scale <= 0) {
    error = 0;
    return best;
  }
  if (rounding == Rounding::nearest) {
    for (std::size_t i = 0; i < w.size(); ++i) best.q[i] = grid.nearest(w[i] / best.scale);
  } else {
    best.q = gptq(w, shared, best.scale, grid);
  }
  descent.start(best.q, best.scale);
  if (rounding != Rounding::full) {
    error = descent.error(best.q);
    return best;
  }
  descend(descent, best.q, grid);
  best.scale = descent.scale();
  error = descent.error(best.q);
  // Few levels make the start matter: other scales to begin with, and plain rounding.
  const double first = best.scale;
  for (const double factor : {0.75, 0.87, 1.15, 1.33}) {
    if (grid.high - grid.low > 15) break;
    std::vector<std::int32_t> q = gptq(w, shared, first * factor, grid);
    descent.start(q, first * factor);
    descend(descent, q, grid);
    const double e = descent.error(q);
    if (e < error) error = e, best.q = std::move(q), best.scale = descent.scale();
  }
  return best;
}

}  // namespace

std::vector<RoundedRow> round_weights(const Matrix& weights, const Matrix& h, int bits, Rounding rounding) {
  const Shared shared = prepare(h, rounding);
  std::vector<double> diagonal(static_cast<std::size_t>(h.rows));
  for (std::int64_t i = 0; i < h.rows; ++i) diagonal[static_cast<std::size_t>(i)] = shared.h.at(i, i);
  std::vector<RoundedRow> rows;
  for (std::int64_t o = 0; o < weights.rows; ++o) {
    std::vector<double> w(weights.row(o).begin(), weights.row(o).end());
    for (std::size_t i = 0; i < w.size(); ++i) {
      if (shared.dead[i]) w[i] = 0;  // inputs that never change belong to the bias
    }
    Descent descent(w, shared.h);
    double error = 0, mirrored_error = 0;
    RoundedRow best = round_on(grid_of(bits, false), w, shared, diagonal, descent, rounding, error);
    if (bits <= 3 && rounding != Rounding::nearest) {
      RoundedRow mirrored = round_on(grid_of(bits, true), w, shared, diagonal, descent, rounding, mirrored_error);
      mirrored.mirrored = true;
      if (mirrored_error < error) best = std::move(mirrored);
    }
    rows.push_back(std::move(best));
  }
  return rows;
}

}  // namespace konv::compress
