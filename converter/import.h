// Trained weights in, Graph out.
#pragma once

#include <string>

#include "engine/graph/graph.h"
#include "models/architectures/architectures.h"

namespace konv::converter {

/// Reads an ONNX file into a verified graph, as found: nothing folded or fused. Constant nodes become constants, Dropout and Identity stay Identity,
/// external data beside the file is read. Every unknown operator or attribute is listed, with node names, in one konv::Error.
Graph import_onnx(const std::string& path);

/// The graph as the bytes of an ONNX file that says the same: fused activations and residuals are nodes of their own again, pruned weights dense, quantized
/// values a QuantizeLinear and a DequantizeLinear. Throws konv::Error naming a node that ONNX has no operator for.
std::string export_onnx(const Graph& graph);

/// The tensors of a PyTorch checkpoint, zip or legacy format. Executes nothing: an interpreter of the few pickle opcodes that tensors need.
/// Nested "state_dict" (or "model", "ema") dictionaries and the "module." prefix are taken off; num_batches_tracked is dropped.
models::StateDict read_pytorch(const std::string& path);

models::StateDict read_safetensors(const std::string& path);

/// Tells the format by content and reads either of them.
models::StateDict read_checkpoint(const std::string& path);

}  // namespace konv::converter
