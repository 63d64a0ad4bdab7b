#include "kernels/cuda/conv/pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "kernels/cuda/conv/first.h"

namespace konv::cuda {
namespace {

/// A packed weight under construction: `count` elements of the precision's type, zeros where nothing is put.
class Elements {
 public:
  Elements(Precision precision, std::int64_t count)
      : precision_(precision), bytes_(static_cast<std::size_t>(count * element_bytes(precision))) {}

  void put(std::int64_t at, float x) {
    if (precision_ == Precision::float16) {
      const std::uint16_t bits = half_bits(x);
      std::memcpy(bytes_.data() + 2 * at, &bits, 2);
    } else {
      const float value = precision_ == Precision::tf32 ? tf32_value(x) : x;
      std::memcpy(bytes_.data() + 4 * at, &value, 4);
    }
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  Precision precision_;
  std::vector<std::byte> bytes_;
};

/// weight[out][in][tap] of one convolution group.
struct Weights {
  const ConvShape& s;
  std::span<const float> values;

  std::int64_t taps() const { return s.kernel_h * s.kernel_w; }
  float at(std::int64_t o, std::int64_t c, std::int64_t tap) const {
    return values[static_cast<std::size_t>((o * s.group_in() + c) * taps() + tap)];
  }
};

bool all_zero(const Weights& w, std::int64_t tap, std::int64_t first, std::int64_t lanes) {
  for (std::int64_t o = 0; o < w.s.out_channels; ++o) {
    for (std::int64_t c = first; c < std::min(first + lanes, w.s.in_channels); ++c) {
      if (w.at(o, c, tap) != 0) return false;
    }
  }
  return true;
}

}  // namespace

std::uint16_t half_bits(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // 65520: the nearest is infinity
  if (magnitude < 0x38800000u)                                                      // subnormal, in units of 2^-24
    return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f)));
  return static_cast<std::uint16_t>(sign | (((magnitude + 0xfffu + (magnitude >> 13 & 1u)) >> 13) - (112u << 10)));
}

float tf32_value(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return (bits & 0x7f800000u) == 0x7f800000u ? x : std::bit_cast<float>((bits + 0x1000u) & ~0x1fffu);
}

std::int64_t count_kept_groups(const ConvProblem& p, std::span<const float> weight) {
  const Weights w{p.shape, weight};
  std::int64_t kept = 0;
  for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
    for (std::int64_t c = 0; c < p.shape.in_channels; c += p.group_lanes()) kept += !all_zero(w, tap, c, p.group_lanes());
  }
  return kept;
}

PackedConv pack_direct(const ConvProblem& p, std::span<const float> weight) {
  const Weights w{p.shape, weight};
  Elements packed(p.precision == Precision::tf32 ? Precision::float32 : p.precision, w.taps() * p.shape.group_in() * p.out_pitch());
  for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
    for (std::int64_t c = 0; c < p.shape.group_in(); ++c) {
      for (std::int64_t o = 0; o < p.shape.out_channels; ++o)
        packed.put((tap * p.shape.group_in() + c) * p.out_pitch() + o, w.at(o, c, tap));
    }
  }
  return {packed.take(), {}};
}

PackedConv pack_depthwise(const ConvProblem& p, std::span<const float> weight) {
  const Weights w{p.shape, weight};
  Elements packed(Precision::float32, w.taps() * p.out_pitch());
  for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
    for (std::int64_t o = 0; o < p.shape.out_channels; ++o) packed.put(tap * p.out_pitch() + o, w.at(o, 0, tap));
  }
  return {packed.take(), {}};
}

PackedConv pack_first(const ConvProblem& p, std::span<const float> weight) {
  const Weights w{p.shape, weight};
  const std::int64_t padded = (p.shape.out_channels + kFirstLane - 1) / kFirstLane * kFirstLane;
  Elements packed(Precision::float32, p.shape.in_channels * w.taps() * padded);
  for (std::int64_t c = 0; c < p.shape.in_channels; ++c) {
    for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
      for (std::int64_t o = 0; o < p.shape.out_channels; ++o) packed.put((c * w.taps() + tap) * padded + o, w.at(o, c, tap));
    }
  }
  return {packed.take(), {}};
}

PackedConv pack_rows(const ConvProblem& p, std::span<const float> weight) {
  const Weights w{p.shape, weight};
  const std::int64_t row = w.taps() * p.in_pitch();
  Elements packed(p.precision == Precision::tf32 ? Precision::float32 : p.precision, p.out_pitch() * row);
  for (std::int64_t o = 0; o < p.shape.out_channels; ++o) {
    for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
      for (std::int64_t c = 0; c < p.shape.in_channels; ++c) packed.put(o * row + tap * p.in_pitch() + c, w.at(o, c, tap));
    }
  }
  return {packed.take(), {}};
}

PackedConv pack_gemm(const ConvProblem& p, std::span<const float> weight) {
  const Weights w{p.shape, weight};
  const std::int64_t lanes = p.group_lanes();
  PackedConv packed;
  for (std::int64_t tap = 0; tap < w.taps(); ++tap) {
    const std::int64_t dy = tap / p.shape.kernel_w * p.shape.dilation_h, dx = tap % p.shape.kernel_w * p.shape.dilation_w;
    for (std::int64_t c = 0; c < p.shape.in_channels; c += lanes) {
      if (all_zero(w, tap, c, lanes)) continue;
      packed.groups.push_back({.delta = 0,
                               .dy = static_cast<std::int16_t>(dy),
                               .dx = static_cast<std::int16_t>(dx),
                               .channel = static_cast<std::int32_t>(c),
                               .unused = static_cast<std::int32_t>(tap)});
    }
  }
  while (packed.groups.empty() || packed.groups.size() % 2 != 0)
    packed.groups.push_back({.delta = 0, .dy = 0, .dx = 0, .channel = -1, .unused = 0});
  const auto count = static_cast<std::int64_t>(packed.groups.size());
  Elements elements(p.precision, p.out_pitch() * count * lanes);
  for (std::int64_t g = 0; g < count; ++g) {
    KGroup& group = packed.groups[static_cast<std::size_t>(g)];
    const std::int64_t tap = std::exchange(group.unused, 0);
    if (group.channel < 0) continue;
    for (std::int64_t o = 0; o < p.shape.out_channels; ++o) {
      for (std::int64_t i = 0; i < lanes && group.channel + i < p.shape.in_channels; ++i)
        elements.put((o * count + g) * lanes + i, w.at(o, group.channel + i, tap));
    }
  }
  packed.weight = elements.take();
  return packed;
}

std::vector<KGroup> groups_in(const ConvProblem& p, std::vector<KGroup> groups) {
  for (KGroup& g : groups) {
    if (g.channel >= 0) g.delta = static_cast<std::int32_t>((g.dy * p.shape.in_w + g.dx) * p.in_pitch() + g.channel);
  }
  return groups;
}

PackedConv pack_halo(const ConvProblem& p, std::span<const float> weight) {
  const Weights w{p.shape, weight};
  const std::int64_t channels = p.shape.in_channels, steps = channels / 16, columns = channels / 8;
  Elements packed(Precision::float16, 9 * channels * channels);
  std::int64_t at = 0;
  for (std::int64_t tap = 0; tap < 9; ++tap) {
    for (std::int64_t k = 0; k < steps; ++k) {
      for (std::int64_t n = 0; n < columns; ++n) {
        for (std::int64_t lane = 0; lane < 32; ++lane) {
          // b of mma.m16n8k16: rows 2t, 2t+1 and 2t+8, 2t+9 of column g.
          for (const std::int64_t row : {std::int64_t{0}, std::int64_t{1}, std::int64_t{8}, std::int64_t{9}})
            packed.put(at++, w.at(8 * n + lane / 4, 16 * k + 2 * (lane % 4) + row, tap));
        }
      }
    }
  }
  return {packed.take(), {}};
}

}  // namespace konv::cuda
