// Options of quantization as text: type names and the JSON of --config.
#pragma once

#include <string>

#include "engine/compress/prune.h"
#include "engine/compress/quantize.h"
#include "kernels/base/dtype.h"

namespace konv::compress {

/// Throw konv::Error naming the option.
Calibrator calibrator_from(const std::string& name);
Rounding rounding_from(const std::string& name);
PruneKind prune_kind_from(const std::string& name);
/// Types of a layer; weights of floats stay real and want float32 activations.
void set_types(LayerSettings& layer, const std::string& option, DType weights, DType activations);
int activation_bits_from(const std::string& option, DType type);

/// {"skips": "int8", "ends": "int8", "layers": {"conv1": {"weights": "float32"}, "fc": {"weights": "int8", "activations": "int8", "calibrator": "mse",
/// "rounding": "gptq"}}}, all of it optional; weights of floats leave the layer real. Throws konv::Error for what is unknown.
void apply_config(QuantizeSettings& settings, const std::string& json);

/// The report of --report: {"layers": [...]}.
std::string report_json(const std::vector<LayerReport>& layers);
std::string report_json(const std::vector<PrunedLayer>& layers);

}  // namespace konv::compress
