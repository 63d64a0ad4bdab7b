// Pipelines: pointwise and depthwise convolutions, one after the other, that run together some rows at a time, so that the images between them stay in
// a cache. In networks of inverted residuals (Sandler et al., "MobileNetV2", 2018) those are the largest. Every number is what it is without.
#pragma once

#include "engine/plan/plan.h"
#include "kernels/cpu/tiling.h"

namespace konv::plan {

/// Steps of a pipeline.
inline constexpr std::size_t kMostStages = 8;

/// Joins steps where the image between them outgrows the cache: sets Step::with_previous and rows_at_once, Storage::band. Layouts are final, halos not filled.
void join_pipelines(Plan& plan, const Machine& machine, const Options& options);

/// Rows of the input, padding included, that output rows `out` read.
Range rows_read(const ConvShape& shape, Range out);

/// The convolution of output rows `out` of one image from input rows `there`, padding among those or not: what lies outside them is its padding, which a kernel
/// that reads a halo finds around them.
ConvShape band_shape(const ConvShape& shape, Range out, Range there);

/// Output rows of one chunk of a pipeline where several threads share it; what lies between chunks is computed twice.
std::int64_t pipeline_chunk_rows(std::int64_t out_h);

}  // namespace konv::plan
