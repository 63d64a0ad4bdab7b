// Post-training quantization: a float graph becomes one whose layers compute in integers, layer after layer, each repairing what the ones before it lost.
// GPTQ (arXiv 2210.17323) with asymmetric targets, centred statistics and coordinate descent; see rounding.h, statistics.h, clip.h.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/compress/clip.h"
#include "engine/compress/refit.h"
#include "engine/compress/rounding.h"
#include "engine/compress/streams.h"

namespace konv::compress {

/// Bits of 0 mean real numbers.
struct LayerSettings {
  int weight_bits = 8;
  DType storage = DType::float32;  ///< of real weights: float32, float16 or bfloat16
  int activation_bits = 8;
  Calibrator calibrator = Calibrator::automatic;
  Rounding rounding = Rounding::full;
};

struct QuantizeSettings {
  LayerSettings layers;
  int end_bits = 8;                            ///< at least, for the first and the last layer
  int skip_bits = 8;                           ///< of residuals, and of what is pooled or added
  std::map<std::string, LayerSettings> named;  ///< by node name, in place of `layers` and end_bits
};

struct LayerReport {
  std::string name;
  int weight_bits = 0, activation_bits = 0;  ///< of its input
  std::string calibrator;                    ///< that chose the input's clip
  double input_scale = 0, clipped = 0;
  double weight_scale_min = 0, weight_scale_max = 0;
  double signal_to_noise = 0;  ///< of its output before the activation, against the float network, dB
  double noise_share = 0;      ///< of the sum over all layers of noise / signal
};

/// Whether any layer is asked to compute in integers: without one, no image is looked at.
bool needs_calibration(const QuantizeSettings& settings);

/// `graph`: folded by the default passes. `target`: itself, or the same nodes with the weights whose outputs are to be met (with_weights_of in prune.h). `inputs`: the images, for its only input. Throws konv::Error naming the node for what cannot be quantized as asked,
/// and for activations that are not finite.
Graph quantize(const Graph& graph, const Graph& target, const Samples& inputs, const Streams& streams, const QuantizeSettings& settings,
               const Progress& progress, std::vector<LayerReport>* report);

}  // namespace konv::compress
