#include "engine/compress/surgeon.h"

#include <algorithm>
#include <cmath>

namespace konv::compress {
namespace {

/// Beyond so many groups several go at a time: their scores hardly change in between.
constexpr std::size_t kOneByOne = 1200;

}  // namespace

Surgeon::Surgeon(Matrix w, const Matrix& h, RowGroups groups)
    : w_(std::move(w)),
      inverse_(inverse(damped(h, kSurgeonDamping * std::max(mean_diagonal(h), 1e-30)))),
      groups_(std::move(groups)),
      gone_(groups_.size()) {}

/// (Hinv_BB)^-1
Matrix Surgeon::block(std::int32_t group) const { return inverse(submatrix(inverse_, groups_[static_cast<std::size_t>(group)])); }

double Surgeon::loss(std::int32_t group) const {
  const std::vector<std::int32_t>& rows = groups_[static_cast<std::size_t>(group)];
  double sum = 0;
  if (rows.size() == 1) {
    for (std::int64_t o = 0; o < w_.rows; ++o) sum += w_.at(o, rows[0]) * w_.at(o, rows[0]);
    return sum / inverse_.at(rows[0], rows[0]);
  }
  const Matrix b = block(group), part = columns_of(w_, rows);
  for (std::int64_t o = 0; o < w_.rows; ++o) {
    for (std::int64_t i = 0; i < b.rows; ++i) sum += part.at(o, i) * dot(b.row(i), part.row(o));
  }
  return std::max(0.0, sum);
}

void Surgeon::remove(std::int32_t group) {
  const std::vector<std::int32_t>& rows = groups_[static_cast<std::size_t>(group)];
  const Matrix b = block(group), of_w = columns_of(w_, rows), of_inverse = columns_of(inverse_, rows);
  // Factors of the rows of Hinv_B: W_B (Hinv_BB)^-1 and Hinv_:B (Hinv_BB)^-1.
  std::vector<std::vector<double>> lines;
  for (const std::int32_t row : rows) lines.emplace_back(inverse_.row(row).begin(), inverse_.row(row).end());
  const auto subtract = [&](Matrix& m, const Matrix& of_m) {
    for (std::int64_t i = 0; i < m.rows; ++i) {
      for (std::size_t j = 0; j < rows.size(); ++j) {
        const double factor = dot(of_m.row(i), b.row(static_cast<std::int64_t>(j)));
        if (factor != 0) add_scaled(m.row(i), -factor, lines[j]);  // zero: a row that has gone
      }
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
  Surgeon surgeon(std::move(w), h, groups);
  count = std::min(count, groups.size());
  Removal removal;
  double total = 0;
  const std::size_t step = std::max<std::size_t>(1, groups.size() / kOneByOne);
  while (removal.order.size() < count) {
    std::vector<std::pair<double, std::int32_t>> losses;
    for (std::int32_t g = 0; g < std::ssize(groups); ++g) {
      if (!surgeon.gone(g)) losses.emplace_back(surgeon.loss(g), g);
    }
    const auto last = losses.begin() + static_cast<std::ptrdiff_t>(std::min({step, count - removal.order.size(), losses.size()}));
    std::partial_sort(losses.begin(), last, losses.end());
    for (auto it = losses.begin(); it != last; ++it) {
      total += surgeon.loss(it->second);
      surgeon.remove(it->second);
      removal.order.push_back(it->second);
      removal.loss.push_back(total);
    }
  }
  return removal;
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

}  // namespace konv::compress
