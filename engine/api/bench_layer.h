// The layer that bench_convolution measures, on any device: its network, its inputs, its exact outputs.
#pragma once

#include <vector>

#include <konv/bench.hpp>

#include "engine/base/thread_pool.h"
#include "engine/plan/plan.h"

namespace konv::api {

/// Uniform in [-scale, scale], the same everywhere.
Tensor noise(Dims dims, std::uint64_t seed, float scale = 1);

/// The layer as a network of one node, "conv", with bias and ReLU; outputs stay near 1 whatever K is.
Graph layer_graph(const ConvLayer& layer, std::uint64_t seed);

/// Takes the share `k_sparsity` of the weight's K rows away, `lanes` input channels of one tap at a time. Throws konv::Error unless it is from 0 up to 1.
void prune_rows(Graph& graph, double k_sparsity, std::int64_t lanes, std::uint64_t seed);

/// Zeroes the share `sparsity` of the weights, wherever they are.
void prune_weights(Graph& graph, double sparsity, std::uint64_t seed);

/// The step of a plan that is the convolution.
std::size_t conv_step(const plan::Plan& plan);

/// The first image's outputs in double, channels side by side on the pool's threads (null: serially).
std::vector<double> exact(const plan::ConvStep& work, const Graph& graph, const float* in, ThreadPool& pool);

/// Fills in the report's errors: `got` against `expected`, as far as that goes.
void judge(const std::vector<float>& got, const std::vector<double>& expected, ConvReport& report);

double median(std::vector<double> values);

}  // namespace konv::api
