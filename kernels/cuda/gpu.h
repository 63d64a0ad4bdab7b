// What cost models know of a GPU, and the GPUs that can be planned for without being there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/dtype.h"

namespace konv::cuda {

/// How a network is computed: activations and weights are float32 (both first ones) or float16; sums are always float32.
enum class Precision : std::uint8_t { float32, tf32, float16 };

const char* name(Precision precision);
std::optional<Precision> precision_from_name(std::string_view name);
inline DType storage(Precision p) { return p == Precision::float16 ? DType::float16 : DType::float32; }
inline int element_bytes(Precision p) { return p == Precision::float16 ? 2 : 4; }
/// Channels that a pixel occupies: whole chunks of 16 bytes.
inline std::int64_t pitch_of(std::int64_t channels, Precision p) {
  const std::int64_t lanes = 16 / element_bytes(p);
  return (channels + lanes - 1) / lanes * lanes;
}

struct Gpu {
  std::string name;     ///< "h200"
  int capability = 80;  ///< 90 is 9.0
  int multiprocessors = 1;
  double float32_flops = 0;                     ///< multiply-adds outside tensor cores, 2 per multiply-add
  double tf32_flops = 0;                        ///< of mma.sync, dense
  double float16_flops = 0;                     ///< of mma.sync with float32 sums, dense
  double dram_bandwidth = 0, l2_bandwidth = 0;  ///< bytes/s
  std::int64_t l2_bytes = 0;
  std::int64_t shared_bytes = 0;  ///< per multiprocessor
  double launch_seconds = 2e-6;   ///< one kernel of a graph after another

  double flops(Precision p) const { return p == Precision::float16 ? float16_flops : p == Precision::tf32 ? tf32_flops : float32_flops; }
};

/// GPUs described here, for planning on any machine.
std::span<const Gpu> described_gpus();
/// By name ("h200"); null when there is no such description.
const Gpu* described_gpu(std::string_view name);

/// A GPU that is there, from what its driver says.
Gpu gpu_from_properties(const std::string& name, int capability, int multiprocessors, double clock_hz, double dram_bandwidth,
                        std::int64_t l2_bytes, std::int64_t shared_bytes);

}  // namespace konv::cuda
