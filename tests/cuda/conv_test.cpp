// Every convolution kernel of the GPU, run by the interpreter, against the oracle: shapes below, at and above every tile's edge.
#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "kernels/cpu/conv/conv.h"
#include "kernels/cuda/conv/conv.h"
#include "tests/cuda/conv_cases.h"
#include "tests/cuda/device_arrays.h"
#include "tests/support/simt/kernels/run.h"

namespace konv::test {
namespace {

using cuda::ConvKernel;
using cuda::ConvProblem;
using cuda::Precision;

/// Everything one convolution touches on a device.
struct Setup {
  Setup(const ConvCase& c, const ConvKernel& kernel, Rng& rng)
      : problem{.shape = c.shape, .precision = kernel.precision, .activation = c.activation.kind}, activation(c.activation) {
    const ConvShape& s = c.shape;
    const Precision p = kernel.precision;
    problem.plain_input = kernel.reads_plain_input();
    // The first convolution reads the network's float32 as it is; depthwise weights stay float32.
    const Precision in_precision = problem.plain_input ? Precision::float32 : p;
    const bool wide_weights =
        problem.plain_input || (s.groups > 1 && s.groups == s.in_channels && s.in_channels == s.out_channels) || p == Precision::tf32;
    in_values = random_values(rng, s.batch * s.in_channels * s.in_h * s.in_w, in_precision);
    weight_values = random_values(rng, s.weight_count(), wide_weights && p != Precision::tf32 ? Precision::float32 : p);
    if (c.pruned > 0) prune(c.pruned, rng);
    if (s.groups == 1) problem.kept_groups = count_kept_groups(problem, weight_values);
    if (c.bias) bias_values = random_values(rng, s.out_channels, kernel.reads_half_bias() ? p : Precision::float32);
    if (c.residual)
      residual_values = random_values(rng, s.batch * s.out_channels * s.out_pixels(), p == Precision::tf32 ? Precision::float32 : p);
  }

  void prune(double share, Rng& rng) {
    const ConvShape& s = problem.shape;
    const std::int64_t lanes = problem.group_lanes(), taps = s.kernel_h * s.kernel_w;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t first = 0; first < s.in_channels; first += lanes) {
        if (!rng.chance(share)) continue;
        for (std::int64_t o = 0; o < s.out_channels; ++o) {
          for (std::int64_t ch = first; ch < std::min(first + lanes, s.in_channels); ++ch)
            weight_values[static_cast<std::size_t>((o * s.in_channels + ch) * taps + tap)] = 0;
        }
      }
    }
  }

  std::vector<double> expected() const {
    std::vector<double> out(static_cast<std::size_t>(problem.shape.batch * problem.shape.out_channels * problem.shape.out_pixels()));
    conv_oracle(problem.shape, in_values.data(), weight_values.data(), bias_values.empty() ? nullptr : bias_values.data(),
                residual_values.empty() ? nullptr : residual_values.data(), activation, out.data());
    return out;
  }

  ConvProblem problem;
  Activation activation;
  std::vector<float> in_values, weight_values, bias_values, residual_values;
};

struct Result {
  std::vector<float> out;
  simt::Counters counters;
};

Result run_kernel(const Setup& setup, const ConvKernel& kernel, simt::Order order, bool count) {
  const ConvProblem& p = setup.problem;
  const ConvShape& s = p.shape;
  const std::int64_t bytes = element_bytes(p.precision), out_elements = p.pixels() * p.out_pitch();
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  DeviceBytes in(size(s.batch * s.in_h * s.in_w * (p.plain_input ? 4 * s.in_channels : p.in_pitch() * bytes)));
  if (p.plain_input) {
    std::memcpy(in.data(), setup.in_values.data(), in.size());
  } else {
    put_image(in.data(), setup.in_values, s.batch, s.in_channels, s.in_h * s.in_w, p.precision);
  }
  const cuda::PackedConv packed = kernel.algorithm->pack(p, setup.weight_values);
  const std::vector<cuda::KGroup> k_groups = groups_in(p, packed.groups);
  const Precision bias_type = kernel.reads_half_bias() ? Precision::float16 : Precision::float32;
  DeviceBytes weight(packed.weight.size()), groups(k_groups.size() * sizeof(cuda::KGroup)),
      bias(size(element_bytes(bias_type) * p.out_pitch())), residual(size(out_elements * bytes));
  std::memcpy(weight.data(), packed.weight.data(), weight.size());
  std::copy(k_groups.begin(), k_groups.end(), static_cast<cuda::KGroup*>(groups.data()));
  std::memset(bias.data(), 0, bias.size());
  for (std::size_t i = 0; i < setup.bias_values.size(); ++i)
    put(bias.data(), static_cast<std::int64_t>(i), setup.bias_values[i], bias_type);
  if (!setup.residual_values.empty())
    put_image(residual.data(), setup.residual_values, s.batch, s.out_channels, s.out_pixels(), p.precision);
  DeviceBytes out(size(out_elements * bytes)), workspace(size(kernel.algorithm->workspace(p)));

  const cuda::ConvMemory memory = {.in = in.data(),
                                   .out = out.data(),
                                   .weight = weight.data(),
                                   .groups = static_cast<const cuda::KGroup*>(groups.data()),
                                   .bias = setup.bias_values.empty() ? nullptr : bias.data(),
                                   .residual = setup.residual_values.empty() ? nullptr : residual.data(),
                                   .workspace = workspace.data(),
                                   .activation = setup.activation};
  std::vector<cuda::Call> calls;
  kernel.algorithm->calls(kernel, p, memory, calls);
  simt::Options options{.order = order, .seed = 11, .count = count, .buffers = {}};
  options.buffers = {in.buffer("in"),
                     weight.buffer("weight"),
                     groups.buffer("groups"),
                     bias.buffer("bias"),
                     residual.buffer("residual"),
                     out.buffer("out", true),
                     workspace.buffer("workspace", true)};
  Result result;
  result.counters = simt::run(calls, options);
  result.out = get_image(out.data(), s.batch, s.out_channels, s.out_pixels(), p.precision);
  return result;
}

const cuda::Gpu& gpu() { return *cuda::described_gpu("h200"); }

/// Runs the kernels of the algorithms with these names in every thread order; returns how many there are.
int check_kernels(const std::vector<std::string>& names) {
  int kernels = 0;
  for (const ConvKernel& kernel : cuda::conv_kernels()) {
    const std::string kernel_name = kernel.name;
    if (std::none_of(names.begin(), names.end(), [&](const std::string& n) { return kernel_name.starts_with("conv_" + n); })) continue;
    CAPTURE(kernel_name);
    Rng rng(17);
    int ran = 0;
    for (const ConvCase& c : conv_cases()) {
      const Setup setup(c, kernel, rng);
      const ConvShape& s = c.shape;
      if (const char* reason = kernel.refuse(setup.problem, gpu())) {
        CHECK(std::strlen(reason) > 3);
        continue;
      }
      CHECK(kernel.cost(setup.problem, gpu()) > 0);
      if (s.macs() > 2'000'000 && !kernel_name.starts_with("conv_halo")) continue;  // smaller ones straddle the same edges
      const std::string shape = std::to_string(s.batch) + "x" + std::to_string(s.in_channels) + "x" + std::to_string(s.in_h) + "x" +
                                std::to_string(s.in_w) + " -> " + std::to_string(s.out_channels) + ", " + std::to_string(s.kernel_h) + "x" +
                                std::to_string(s.kernel_w);
      CAPTURE(shape);
      const std::vector<double> expected = setup.expected();
      std::vector<float> forward;
      for (const simt::Order order : kOrders) {
        CAPTURE(static_cast<int>(order));
        const Result result = run_kernel(setup, kernel, order, false);
        // cuBLAS hands its result over in the output's type before the epilogue adds to it.
        const double extra = kernel.calls_cublas() && kernel.precision == Precision::float16 ? 0x1p-9 : 0;
        CHECK(worst_error(result.out, expected) <= allowed_error(kernel.precision, s.k()) + extra);
        if (forward.empty()) forward = result.out;
        CHECK_MESSAGE(forward == result.out, "the result depends on the order of threads");
        ++ran;
      }
    }
    CHECK_MESSAGE(ran >= 6, "the shapes hardly reach this kernel");
    ++kernels;
  }
  return kernels;
}

// Together they are all kernels of the list.
constexpr int kSimpleKernels = 18, kHalfKernels = 4, kTf32Kernels = 4, kFloatKernels = 2;

TEST_CASE("cuda: convolutions without tiles agree with the oracle in every thread order") {
  CHECK(check_kernels({"first", "depthwise", "rows", "cublas", "direct"}) == kSimpleKernels);
}

TEST_CASE("cuda: halo-resident convolutions agree with the oracle in every thread order") { CHECK(check_kernels({"halo"}) == 3); }

TEST_CASE("cuda: implicit GEMM in float16 agrees with the oracle in every thread order") {
  CHECK(check_kernels({"gemm_f16"}) == kHalfKernels);
}

TEST_CASE("cuda: implicit GEMM in tf32 agrees with the oracle in every thread order") {
  CHECK(check_kernels({"gemm_tf32"}) == kTf32Kernels);
}

TEST_CASE("cuda: implicit GEMM in float32 agrees with the oracle in every thread order") {
  CHECK(check_kernels({"gemm_f32"}) == kFloatKernels);
  CHECK(std::ssize(cuda::conv_kernels()) == kSimpleKernels + 3 + kHalfKernels + kTf32Kernels + kFloatKernels);
}

TEST_CASE("cuda: swizzles keep convolutions free of bank conflicts") {
  for (const ConvKernel& kernel : cuda::conv_kernels()) {
    // What goes through shared memory in chunks; the first convolution reads single floats with the stride of the window.
    if (kernel.rows == 0 || kernel.calls_cublas()) continue;
    const std::string kernel_name = kernel.name;
    CAPTURE(kernel_name);
    Rng rng(19);
    int ran = 0;
    for (const ConvCase& c : conv_cases()) {
      const Setup setup(c, kernel, rng);
      if (kernel.refuse(setup.problem, gpu()) || ran == 5) continue;
      const Result result = run_kernel(setup, kernel, simt::Order::forward, true);
      CHECK(result.counters.shared_accesses > 0);
      CHECK(result.counters.bank_conflicts == 0);
      ++ran;
    }
    CHECK(ran >= 2);
  }
}

TEST_CASE("cuda: what the cost model says a kernel does is what the interpreter counts") {
  const std::vector<ConvShape> shapes = {conv(1, 64, 16, 16, 64, 3), conv(1, 16, 32, 32, 16, 3), conv(1, 32, 16, 32, 32, 3),
                                         conv(2, 3, 32, 64, 16, 3),  conv(8, 256, 1, 1, 64, 1),  grouped(conv(1, 32, 32, 32, 32, 3), 32)};
  for (const ConvKernel& kernel : cuda::conv_kernels()) {
    if (kernel.calls_cublas()) continue;  // not ours to count
    const std::string kernel_name = kernel.name;
    CAPTURE(kernel_name);
    int ran = 0;
    for (const ConvShape& shape : shapes) {
      if (shape.macs() > 5'000'000 && kernel.rows == 0) continue;
      if (shape.in_channels < 16 && kernel.rows > 0) continue;  // half a group of K is not read there
      Rng rng(23);
      const Setup setup({shape, {}, true, false}, kernel, rng);
      if (kernel.refuse(setup.problem, gpu())) continue;
      const Result result = run_kernel(setup, kernel, simt::Order::forward, true);
      const cuda::Counts counts = kernel.count(setup.problem);
      CAPTURE(shape.in_channels);
      CAPTURE(shape.out_channels);
      CHECK(static_cast<double>(result.counters.blocks) == counts.blocks);
      CHECK(static_cast<double>(result.counters.mma) == counts.mma);
      const double ratio = counts.sectors / static_cast<double>(result.counters.global_sectors);
      CAPTURE(counts.sectors);
      CAPTURE(result.counters.global_sectors);
      CHECK(ratio > 0.7);
      CHECK(ratio < 1.3);
      ++ran;
    }
    CHECK(ran > 0);
  }
}

TEST_CASE("cuda: pruned groups of K are not computed") {
  const ConvShape shape = conv(1, 64, 16, 16, 64, 3);
  for (const ConvKernel& kernel : cuda::conv_kernels()) {
    if (std::string(kernel.name) != "conv_gemm_f16_64x64") continue;
    Rng rng(29);
    const Setup whole({shape, {}, true, false, 0.0}, kernel, rng), half({shape, {}, true, false, 0.5}, kernel, rng);
    const Result dense = run_kernel(whole, kernel, simt::Order::forward, false),
                 sparse = run_kernel(half, kernel, simt::Order::forward, false);
    CHECK(whole.problem.kept_groups == 36);
    CHECK(half.problem.kept_groups < 28);
    CHECK(sparse.counters.mma * 36 == dense.counters.mma * half.problem.k_groups());
  }
}

}  // namespace
}  // namespace konv::test
