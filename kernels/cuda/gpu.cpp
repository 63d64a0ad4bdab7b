#include "kernels/cuda/gpu.h"

#include <algorithm>
#include <cctype>

namespace konv::cuda {
namespace {

constexpr const char* kPrecisions[] = {"float32", "tf32", "float16"};

}  // namespace

const char* name(Precision precision) { return kPrecisions[static_cast<int>(precision)]; }

std::optional<Precision> precision_from_name(std::string_view name) {
  for (int i = 0; i < 3; ++i) {
    if (name == kPrecisions[i]) return static_cast<Precision>(i);
  }
  return {};
}

// Data sheets (dense figures) for bandwidth and peaks; mma.sync reaches about two thirds of an H100's or H200's peak, the rest needs wgmma.
std::span<const Gpu> described_gpus() {
  static const Gpu gpus[] = {
      {.name = "h200",
       .capability = 90,
       .multiprocessors = 132,
       .float32_flops = 67e12,
       .tf32_flops = 310e12,
       .float16_flops = 620e12,
       .dram_bandwidth = 4.3e12,
       .l2_bandwidth = 10e12,
       .l2_bytes = 60 << 20,
       .shared_bytes = 228 << 10},
      {.name = "h100",
       .capability = 90,
       .multiprocessors = 132,
       .float32_flops = 67e12,
       .tf32_flops = 310e12,
       .float16_flops = 620e12,
       .dram_bandwidth = 3.0e12,
       .l2_bandwidth = 10e12,
       .l2_bytes = 50 << 20,
       .shared_bytes = 228 << 10},
      {.name = "a100",
       .capability = 80,
       .multiprocessors = 108,
       .float32_flops = 19.5e12,
       .tf32_flops = 156e12,
       .float16_flops = 312e12,
       .dram_bandwidth = 1.5e12,
       .l2_bandwidth = 5e12,
       .l2_bytes = 40 << 20,
       .shared_bytes = 164 << 10},
  };
  return gpus;
}

const Gpu* described_gpu(std::string_view name) {
  for (const Gpu& gpu : described_gpus()) {
    if (gpu.name == name) return &gpu;
  }
  return nullptr;
}

Gpu gpu_from_properties(const std::string& name, int capability, int multiprocessors, double clock_hz, double dram_bandwidth,
                        std::int64_t l2_bytes, std::int64_t shared_bytes) {
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const Gpu& gpu : described_gpus()) {
    if (lower.find(gpu.name) != std::string::npos && gpu.capability == capability) {
      Gpu here = gpu;
      here.multiprocessors = multiprocessors;
      return here;
    }
  }
  // Per multiprocessor and clock: 128 float32 multiply-adds; 512 float16 ones on tensor cores (1024 on the data centre parts 8.0 and 9.0).
  const double rate = multiprocessors * (clock_hz > 0 ? clock_hz : 1.4e9) * 2;
  const double tensor = capability == 80 || capability >= 90 ? 1024 : 512;
  const double bandwidth = dram_bandwidth > 0 ? dram_bandwidth : 4e11;
  return {.name = lower,
          .capability = capability,
          .multiprocessors = multiprocessors,
          .float32_flops = 128 * rate,
          .tf32_flops = tensor / 2 * rate,
          .float16_flops = tensor * rate,
          .dram_bandwidth = bandwidth,
          .l2_bandwidth = 3 * bandwidth,
          .l2_bytes = l2_bytes,
          .shared_bytes = shared_bytes};
}

}  // namespace konv::cuda
