// From real weights to integers of few bits, so that the layer's output changes least: error (q s - w) H (q s - w)' per output channel, H the covariance of
// the inputs as they will be when the network runs.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/compress/matrix.h"

namespace konv::compress {

/// nearest: to the nearest integer, scales by weighted error. gptq: Frantar et al., arXiv 2210.17323, columns by falling H_ii. full: then coordinate descent with
/// the scale refitted between sweeps.
enum class Rounding : std::uint8_t { nearest, gptq, full };

/// w ~ scale q, q from -2^(bits-1) to 2^(bits-1) - 1, or mirrored: from -(2^(bits-1) - 1) to 2^(bits-1).
struct RoundedRow {
  double scale = 0;
  bool mirrored = false;
  std::vector<std::int32_t> q;
};

/// One row per output channel; `w` [Cout, K], `h` [K, K].
std::vector<RoundedRow> round_weights(const Matrix& w, const Matrix& h, int bits, Rounding rounding);

}  // namespace konv::compress
