// Measures convolution layers by every algorithm there is.
//
//   for (const konv::ConvReport& r : konv::bench_convolution({.input = {1, 64, 56, 56}, .filter = {64, 3, 3}, .pad = {1, 1, 1, 1}})) ...
#pragma once

#include <array>
#include <cstdint>
#include <span>
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
  /// Of the layer alone, in the state a network would find it in: its input was just written (reordering it is a step of its own), its weights lie beyond L2.
  double median_seconds = 0;
  double gflops = 0;         ///< of the direct definition, 2 per multiply-add, so "effective" for Winograd and FFT
  double max_rel_error = 0;  ///< max|a - b| / max(1, max|b|), b computed in double; of the first image
  double mse = 0;            ///< mean of (a - b)^2
  std::int64_t workspace_bytes = 0;
  double share_of_peak = 0;  ///< gflops against the multiply-add peak of the threads, measured once per process
  bool chosen = false;       ///< what the planner takes for this layer on its own
};

struct ConvBenchOptions {
  /// Names of kernels; empty: all of them. A name without its instruction set ("conv_winograd4_f32") is the one for the best this machine has.
  std::vector<std::string> algorithms;
  double seconds = 1;     ///< for all algorithms together, per layer; they take turns. 0: each runs once
  double k_sparsity = 0;  ///< share of the weight's K rows (one input channel of one tap) that are pruned
  double sparsity = 0;    ///< share of the weights that are zero, wherever they are
  std::uint64_t seed = 1;
  std::string precision = "float32";  ///< as SessionOptions'; bfloat16 adds the kernels that round to it
};

/// All algorithms in the list's order, those for other instruction sets than this machine's included as refused. Throws Error for layers that cannot be
/// and for an unknown algorithm.
KONV_API std::vector<ConvReport> bench_convolution(const ConvLayer& layer, const Runtime& runtime, const ConvBenchOptions& options = {});

/// A convolution of a model.
struct ModelConvReport {
  std::string name;  ///< of the node
  ConvLayer layer;
  std::vector<ConvReport> algorithms;
};

/// The convolutions of images in float32 of a model, each with its own weights, bias and activation (without residual) on what the model hands it for
/// these inputs; those of them that one of the algorithms takes. Sparsities and seed do not count. Throws Error.
KONV_API std::vector<ModelConvReport> bench_convolutions(const Model& model, std::span<const InputTensor> inputs, const Runtime& runtime,
                                                         const ConvBenchOptions& options = {});

/// One CUDA kernel on one layer, without running it: what it would do, and how long that would take by the cost model.
struct ConvPrediction {
  std::string algorithm;
  std::string refused;           ///< why it does not take the layer; the rest is 0 then
  double predicted_seconds = 0;  ///< one launch after another in a CUDA graph
  double roofline_seconds = 0;   ///< useful multiply-adds at the precision's peak, bytes at DRAM's bandwidth
  std::int64_t blocks = 0;
  int blocks_per_multiprocessor = 0;
  std::int64_t mma = 0;             ///< tensor core instructions of all warps
  std::int64_t sectors = 0;         ///< of 32 bytes between multiprocessors and L2
  std::int64_t dram_bytes = 0;      ///< inputs, weights and outputs once
  std::int64_t bank_conflicts = 0;  ///< further passes over shared memory
  std::int64_t workspace_bytes = 0;
  bool chosen = false;  ///< what the planner takes
};

struct GpuBenchOptions {
  std::string device = "cuda";  ///< cuda, cuda:N; for predictions also "cuda:h200"
  std::string precision = "float32";
  std::string algorithm;  ///< empty: all of them
  double k_sparsity = 0;  ///< share of the weight's K groups (32 bytes of channels at one tap) that are zero
  double seconds = 1;     ///< for all algorithms together
  std::uint64_t seed = 1;
};

/// Predicted on any machine. Throws Error for layers that cannot be, unknown devices and unknown algorithms.
KONV_API std::vector<ConvPrediction> predict_convolution(const ConvLayer& layer, const GpuBenchOptions& options);

/// Measured on a device that is here, with events around the layer, in arenas that take turns and together exceed its L2 cache; `isa` of the reports is the compute capability.
KONV_API std::vector<ConvReport> bench_convolution_on_gpu(const ConvLayer& layer, const GpuBenchOptions& options);

}  // namespace konv
