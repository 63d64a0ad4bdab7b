#include "engine/compress/clip.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace konv::compress {
namespace {

constexpr double kPercentile = 0.9999;
constexpr int kBins = 2048;
constexpr double kLeastShrink = 0.1;

/// The integers that span `shrink` times the range.
Clip clip_of(Range range, double shrink, int bits) {
  Clip clip;
  Quantization& q = clip.quantization;
  if (bits == 16) {
    clip.dtype = DType::int16;
    const float most = std::max(std::fabs(range.low), std::fabs(range.high));
    q.scale = {std::max(most * static_cast<float>(shrink) / 32767.0f, 1e-30f)};
    q.zero_point = {0};
    return clip;
  }
  clip.dtype = bits == 2 ? DType::uint2 : bits == 4 ? DType::uint4 : DType::uint8;
  const int most = (1 << bits) - 1;
  const double low = std::min(0.0, static_cast<double>(range.low)) * shrink, high = std::max(0.0, static_cast<double>(range.high)) * shrink;
  const double scale = std::max((high - low) / most, 1e-30);
  q.scale = {static_cast<float>(scale)};
  q.zero_point = {std::clamp(static_cast<int>(std::lround(-low / scale)), 0, most)};
  return clip;
}

double squared_error(std::span<const float> values, const Clip& clip) {
  double error = 0;
  for (const float x : values) {
    const double e = static_cast<double>(quantized(x, clip.quantization, clip.dtype)) - static_cast<double>(x);
    error += e * e;
  }
  return error;
}

double mse_shrink(std::span<const float> values, Range range, int bits) {
  double best = 1, least = INFINITY;
  for (double shrink = 1; shrink > kLeastShrink; shrink -= bits <= 4 ? 0.01 : 0.02) {
    const double error = squared_error(values, clip_of(range, shrink, bits));
    if (error < least) least = error, best = shrink;
  }
  return best;
}

double percentile_shrink(std::span<const float> values, Range range) {
  std::vector<float> sizes(values.size());
  std::transform(values.begin(), values.end(), sizes.begin(), [](float x) { return std::fabs(x); });
  const auto at = sizes.begin() + static_cast<std::ptrdiff_t>(kPercentile * static_cast<double>(sizes.size() - 1));
  std::nth_element(sizes.begin(), at, sizes.end());
  const double most = std::max(std::fabs(static_cast<double>(range.low)), std::fabs(static_cast<double>(range.high)));
  return most > 0 ? std::clamp(static_cast<double>(*at) / most, kLeastShrink, 1.0) : 1;
}

/// Divergence of the histogram cut at `bins` from itself in `levels` steps.
double divergence(const std::vector<double>& histogram, int bins, int levels) {
  std::vector<double> p(histogram.begin(), histogram.begin() + bins);
  p.back() = std::accumulate(histogram.begin() + bins - 1, histogram.end(), 0.0);
  double total = 0, sum = 0;
  for (const double x : p) total += x;
  for (int level = 0; level < levels; ++level) {
    const int first = static_cast<int>(std::int64_t{bins} * level / levels),
              last = static_cast<int>(std::int64_t{bins} * (level + 1) / levels);
    double mass = 0;
    int filled = 0;
    for (int i = first; i < last; ++i) mass += histogram[static_cast<std::size_t>(i)], filled += p[static_cast<std::size_t>(i)] > 0;
    for (int i = first; i < last; ++i) {
      const double x = p[static_cast<std::size_t>(i)];
      if (x <= 0) continue;
      const double q = std::max(mass / std::max(filled, 1), 1e-12);
      sum += x / total * std::log(x / q);
    }
  }
  return sum;
}

double kl_shrink(std::span<const float> values, Range range, int bits) {
  const double most = std::max(std::fabs(static_cast<double>(range.low)), std::fabs(static_cast<double>(range.high)));
  if (most <= 0 || bits > 8) return 1;
  std::vector<double> histogram(kBins);
  for (const float x : values) {
    if (x != 0) ++histogram[static_cast<std::size_t>(std::min<double>(kBins - 1, std::fabs(static_cast<double>(x)) / most * kBins))];
  }
  const int levels = 1 << bits;
  int best = kBins;
  double least = INFINITY;
  for (int bins = std::max(levels, kBins / 16); bins <= kBins; bins += 8) {
    const double d = divergence(histogram, bins, levels);
    if (d < least) least = d, best = bins;
  }
  return static_cast<double>(best) / kBins;
}

double clipped_share(std::span<const float> values, const Clip& clip) {
  const float scale = clip.quantization.scale.front();
  std::size_t outside = 0;
  for (const float x : values) outside += std::fabs(quantized(x, clip.quantization, clip.dtype) - x) > 0.501f * scale;
  return static_cast<double>(outside) / static_cast<double>(std::max<std::size_t>(1, values.size()));
}

}  // namespace

const char* name(Calibrator calibrator) {
  constexpr const char* kNames[] = {"auto", "minmax", "percentile", "kl", "mse"};
  return kNames[static_cast<int>(calibrator)];
}

float quantized(float x, const Quantization& quantization, DType dtype) {
  const float scale = quantization.scale.front();
  const int zero = quantization.zero_point.front();
  const bool is_signed = dtype == DType::int16;
  const float low = static_cast<float>((is_signed ? -32768 : 0) - zero);
  const float high = static_cast<float>((is_signed ? 32767 : (1 << bits(dtype)) - 1) - zero);
  return std::nearbyint(std::clamp(x / scale, low, high)) * scale;
}

Clip choose_clip(std::span<const float> values, Range range, int bits, Calibrator calibrator, const ReadersError& error) {
  struct Candidate {
    const char* name;
    double shrink;
  };
  std::vector<Candidate> candidates;
  const bool all = calibrator == Calibrator::automatic && bits <= 8;
  if (all || calibrator == Calibrator::mse) candidates.push_back({"mse", mse_shrink(values, range, bits)});
  if (all && error) {
    const double mse = candidates.front().shrink;
    candidates.push_back({"minmax", 1});
    candidates.push_back({"percentile", percentile_shrink(values, range)});
    candidates.push_back({"kl", kl_shrink(values, range, bits)});
    for (const double factor : {0.7, 0.8, 0.9, 1.1, 1.2, 1.35}) {
      if (bits <= 4 && mse * factor <= 1) candidates.push_back({"shrink", mse * factor});
    }
  }
  if (calibrator == Calibrator::percentile) candidates.push_back({"percentile", percentile_shrink(values, range)});
  if (calibrator == Calibrator::kl) candidates.push_back({"kl", kl_shrink(values, range, bits)});
  if (candidates.empty()) candidates.push_back({"minmax", 1});

  Clip best;
  double least = INFINITY;
  for (const Candidate& candidate : candidates) {
    Clip clip = clip_of(range, candidate.shrink, bits);
    clip.chosen = candidate.name;
    const double e = candidates.size() > 1 ? error(clip.quantization, clip.dtype) : 0;
    if (e < least || best.quantization.scale.empty()) least = e, best = std::move(clip);
  }
  best.clipped = clipped_share(values, best);
  return best;
}

}  // namespace konv::compress
