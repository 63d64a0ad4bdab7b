// Measures one convolution layer by every algorithm there is.
//
//   for (const konv::ConvReport& r : konv::bench_convolution({.input = {1, 64, 56, 56}, .filter = {64, 3, 3}, .pad = {1, 1, 1, 1}})) ...
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <konv/konv.hpp>

namespace konv {

/// A layer: cross-correlation as in ONNX Conv, with bias and ReLU.
struct ConvLayer {
  std::array<std::int64_t, 4> input{1, 1, 1, 1};  ///< N, C, H, W
  std::array<std::int64_t, 3> filter{1, 1, 1};    ///< output channels, rows, columns
  std::array<std::int64_t, 2> stride{1, 1};       ///< down, across
  std::array<std::int64_t, 4> pad{0, 0, 0, 0};    ///< top, left, bottom, right
  std::array<std::int64_t, 2> dilation{1, 1};
  std::int64_t groups = 1;
};

/// One algorithm on one layer.
struct ConvReport {
  std::string algorithm, isa;
  std::string refused;           ///< why it does not take the layer; the rest is 0 then
  double predicted_seconds = 0;  ///< by the cost model, on one core
  double median_seconds = 0;     ///< of the layer alone: reordering its input is a step of its own
  double gflops = 0;             ///< of the direct definition, 2 per multiply-add, so "effective" for Winograd and FFT
  double max_rel_error = 0;      ///< max|a - b| / max(1, max|b|), b computed in double; of the first image
  double mse = 0;                ///< mean of (a - b)^2
  std::int64_t workspace_bytes = 0;
  double share_of_peak = 0;  ///< gflops against the multiply-add peak of the threads, measured once per process
  bool chosen = false;       ///< what the planner takes for this layer on its own
};

struct ConvBenchOptions {
  std::string algorithm;  ///< empty: all of them
  double seconds = 1;     ///< for all algorithms together; they take turns
  std::uint64_t seed = 1;
};

/// All algorithms in the list's order, those for other instruction sets than this machine's included as refused. Throws Error for layers that cannot be
/// and for an unknown algorithm.
KONV_API std::vector<ConvReport> bench_convolution(const ConvLayer& layer, const Runtime& runtime, const ConvBenchOptions& options = {});

}  // namespace konv
