// Trained weights to konv models: ONNX, PyTorch checkpoints, safetensors. Library libkonv_convert.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <konv/konv.hpp>

namespace konv {

struct ConvertOptions {
  std::string arch;                       ///< architecture of a checkpoint, one of architectures(); must be empty for ONNX
  std::vector<std::int64_t> input_shape;  ///< fixes the first input's shape; empty: as the source says
  std::vector<float> mean, std;           ///< preprocessing per channel, on pixels scaled to 0..1; empty: none recorded
  std::vector<std::string> labels;        ///< one per class; empty: none
};

/// Reads trained weights as found: no pass is applied. Throws konv::Error.
KONV_API Model convert(const std::string& path, const ConvertOptions& options = {});

/// Writes the model as an ONNX file, whole or not at all, optimized or not as it is. Throws konv::Error for what ONNX cannot say.
KONV_API void export_onnx(const Model& model, const std::string& path);

/// Name and one-line summary of every architecture a checkpoint can be read as.
KONV_API std::vector<std::pair<std::string, std::string>> architectures();

}  // namespace konv
