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
int weight_bits_from(const std::string& option, DType type);
int activation_bits_from(const std::string& option, DType type);

/// {"skips": "int8", "ends": "int8", "layers": {"conv1": {"weights": "float32"}, "fc": {"weights": "int8", "activations": "int8", "calibrator": "mse",
/// "rounding": "gptq"}}}, all of it optional; weights of float32 leave the layer as it is. Throws konv::Error for what is unknown.
void apply_config(QuantizeSettings& settings, const std::string& json);

/// The report of --report: {"layers": [...]}.
std::string report_json(const std::vector<LayerReport>& layers);
std::string report_json(const std::vector<PrunedLayer>& layers);

}  // namespace konv::compress
