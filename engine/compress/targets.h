// What a layer's outputs should be.
#pragma once

#include "engine/compress/streams.h"
#include "kernels/base/activation.h"

namespace konv::compress {

/// The activation of every element.
Samples activated(const Samples& sums, const Activation& activation);

/// sums - part: what a layer itself has to give beside its shortcut. `quantization` of `part`, null for float32.
Samples difference(const Samples& sums, const Samples& part, const Quantization* quantization);

/// Whether the activation makes different numbers the same, so that the target has room.
bool has_flat_parts(const Activation& activation);

/// Element by element, of all numbers that the activation turns into the same as `wanted` the one nearest to `given`. A layer fitted to that, and to what it then
/// gives, and so on, errs less behind its activation each time: X. Zhang et al., "Accelerating Very Deep Convolutional Networks for Classification and Detection",
/// arXiv 1505.06798, section 3.2.
Samples nearest_wanted(const Samples& wanted, const Samples& given, const Activation& activation);

}  // namespace konv::compress
