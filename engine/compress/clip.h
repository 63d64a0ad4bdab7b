// Where activations are clipped: the range of real numbers that the integers of a value span.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "engine/graph/graph.h"

namespace konv::compress {

/// How much of [min, max] to keep.
///   minmax: all of it.      percentile: what 99.99 % of the absolute values lie in.
///   kl: the threshold whose quantized histogram diverges least (2048 bins; Migacz, "8-bit inference with TensorRT", GTC 2017).
///   mse: the least mean squared error.      automatic: the one of these, and of a few shrinks beside, after which the layers that read it err least.
enum class Calibrator : std::uint8_t { automatic, minmax, percentile, kl, mse };

const char* name(Calibrator calibrator);

struct Range {
  float low = 0, high = 0;
};

struct Clip {
  Quantization quantization;
  DType dtype = DType::uint8;
  const char* chosen = "";  ///< the calibrator, or "shrink"
  double clipped = 0;       ///< share of the values outside
};

/// The error of what reads the value when it is quantized so.
using ReadersError = std::function<double(const Quantization&, DType)>;

/// `values`: a sample of the activation, all finite. `bits` 2, 4, 8 (unsigned, a zero point where some are negative) or 16 (signed, symmetric).
/// `error` may be empty: then `automatic` is mse.
Clip choose_clip(std::span<const float> values, Range range, int bits, Calibrator calibrator, const ReadersError& error);

/// The real number that x becomes.
float quantized(float x, const Quantization& quantization, DType dtype);

}  // namespace konv::compress
