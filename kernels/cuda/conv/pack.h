// Weights [out][in / groups][kh][kw] of float32 as the kernels read them.
#pragma once

#include "kernels/cuda/conv/conv.h"

namespace konv::cuda {

PackedConv pack_direct(const ConvProblem& p, std::span<const float> weight);
PackedConv pack_depthwise(const ConvProblem& p, std::span<const float> weight);
PackedConv pack_first(const ConvProblem& p, std::span<const float> weight);
PackedConv pack_rows(const ConvProblem& p, std::span<const float> weight);  ///< [out_pitch][tap][in_pitch], cuBLAS' and cuBLASLt's too
PackedConv pack_gemm(const ConvProblem& p, std::span<const float> weight);
PackedConv pack_halo(const ConvProblem& p, std::span<const float> weight);

/// IEEE binary16, rounded to the nearest, ties to even.
std::uint16_t half_bits(float x);
/// float32 rounded to tf32's 10 mantissa bits, ties away from zero, as the GPU's conversion does.
float tf32_value(float x);

}  // namespace konv::cuda
