#include "engine/compress/k_rows.h"

#include <algorithm>
#include <cmath>

namespace konv::compress {
namespace {

constexpr double kDamping = 1e-3;  // of the mean diagonal

/// Beyond so many groups several go at a time: their scores hardly change in between.
constexpr std::size_t kOneByOne = 1200;

class Surgeon {
 public:
  Surgeon(Matrix w, const Matrix& h, const RowGroups& groups)
      : w_(std::move(w)),
        inverse_(inverse(damped(h, kDamping * std::max(mean_diagonal(h), 1e-30)))),
        groups_(groups),
        gone_(groups.size()) {}

  Removal remove(std::size_t count) {
    Removal removal;
    double total = 0;
    const std::size_t step = std::max<std::size_t>(1, groups_.size() / kOneByOne);
    while (removal.order.size() < count) {
      for (const auto& [score, group] : cheapest(std::min(step, count - removal.order.size()))) {
        total += std::max(0.0, this->score(group));
        take(group);
        removal.order.push_back(group);
        removal.loss.push_back(total);
      }
    }
    return removal;
  }

 private:
  /// (Hinv_BB)^-1
  Matrix block(std::int32_t group) const { return inverse(submatrix(inverse_, groups_[static_cast<std::size_t>(group)])); }

  double score(std::int32_t group) const {
    const std::vector<std::int32_t>& rows = groups_[static_cast<std::size_t>(group)];
    if (rows.size() == 1) {
      double sum = 0;
      for (std::int64_t o = 0; o < w_.rows; ++o) sum += w_.at(o, rows[0]) * w_.at(o, rows[0]);
      return sum / inverse_.at(rows[0], rows[0]);
    }
    const Matrix b = block(group), part = columns_of(w_, rows);
    double sum = 0;
    for (std::int64_t o = 0; o < w_.rows; ++o) {
      for (std::int64_t i = 0; i < b.rows; ++i) sum += part.at(o, i) * dot(b.row(i), part.row(o));
    }
    return sum;
  }

  std::vector<std::pair<double, std::int32_t>> cheapest(std::size_t count) const {
    std::vector<std::pair<double, std::int32_t>> scores;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      if (!gone_[g]) scores.emplace_back(score(static_cast<std::int32_t>(g)), static_cast<std::int32_t>(g));
    }
    count = std::min(count, scores.size());
    std::partial_sort(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(count), scores.end());
    scores.resize(count);
    return scores;
  }

  void take(std::int32_t group) {
    const std::vector<std::int32_t>& rows = groups_[static_cast<std::size_t>(group)];
    const Matrix b = block(group), of_w = columns_of(w_, rows), of_inverse = columns_of(inverse_, rows);
    // Factors of the rows of Hinv_B: W_B (Hinv_BB)^-1 and Hinv_:B (Hinv_BB)^-1.
    std::vector<std::vector<double>> lines;
    for (const std::int32_t row : rows) lines.emplace_back(inverse_.row(row).begin(), inverse_.row(row).end());
    const auto subtract = [&](Matrix& m, const Matrix& of_m) {
      for (std::int64_t i = 0; i < m.rows; ++i) {
        for (std::size_t j = 0; j < rows.size(); ++j)
          add_scaled(m.row(i), -dot(of_m.row(i), b.row(static_cast<std::int64_t>(j))), lines[j]);
      }
    };
    subtract(w_, of_w);
    subtract(inverse_, of_inverse);
    for (const std::int32_t row : rows) {
      for (std::int64_t o = 0; o < w_.rows; ++o) w_.at(o, row) = 0;
      for (std::int64_t i = 0; i < inverse_.rows; ++i) inverse_.at(i, row) = inverse_.at(row, i) = 0;
    }
    gone_[static_cast<std::size_t>(group)] = true;
  }

  Matrix w_, inverse_;
  const RowGroups& groups_;
  std::vector<bool> gone_;
};

}  // namespace

RowGroups row_groups(std::int64_t channels, std::int64_t taps, std::int64_t granularity) {
  RowGroups groups;
  for (std::int64_t first = 0; first < channels; first += granularity) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      std::vector<std::int32_t> rows;
      for (std::int64_t c = first; c < std::min(channels, first + granularity); ++c)
        rows.push_back(static_cast<std::int32_t>(c * taps + tap));
      groups.push_back(std::move(rows));
    }
  }
  return groups;
}

Removal removal_order(Matrix w, const Matrix& h, const RowGroups& groups, std::size_t count) {
  return Surgeon(std::move(w), h, groups).remove(std::min(count, groups.size()));
}

std::vector<std::int32_t> kept_rows(const RowGroups& groups, const Removal& removal, std::size_t count) {
  std::vector<bool> gone(groups.size());
  for (std::size_t i = 0; i < count; ++i) gone[static_cast<std::size_t>(removal.order[i])] = true;
  std::vector<std::int32_t> rows;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (!gone[g]) rows.insert(rows.end(), groups[g].begin(), groups[g].end());
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::vector<std::size_t> allocate(const std::vector<LayerCurve>& layers, double share) {
  double left = 0;
  for (const LayerCurve& layer : layers) left += share * layer.all_macs;
  std::vector<std::size_t> counts(layers.size());
  // The price of the next group; never less than what came before, so that one cheap group behind dear ones does not wait in vain.
  std::vector<double> price(layers.size());
  const auto next_price = [&](std::size_t l) -> double {
    const LayerCurve& layer = layers[l];
    const std::size_t i = counts[l];
    if (i + 1 >= layer.removal.order.size()) return INFINITY;  // something stays in every layer
    const double loss = layer.removal.loss[i] - (i ? layer.removal.loss[i - 1] : 0.0);
    return std::max(price[l], loss / std::max(layer.variance, 1e-30) / layer.macs[i]);
  };
  while (left > 0) {
    std::size_t best = layers.size();
    double least = INFINITY;
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const double p = next_price(l);
      if (p < least) least = p, best = l;
    }
    if (best == layers.size()) break;
    price[best] = least;
    left -= layers[best].macs[counts[best]++];
  }
  return counts;
}

}  // namespace konv::compress
