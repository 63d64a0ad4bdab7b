// What a step of a plan becomes: kernel launches and matrix products with all pointers settled. Made on the host, by code that needs no GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <variant>
#include <vector>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/params.h"

namespace konv::cuda {

/// A line of kernels.inc.
struct KernelInfo {
  const char* name;
  std::size_t params_bytes;
  int threads;
};

std::span<const KernelInfo> kernel_list();

enum class KernelId : int {
#define KONV_CUDA(name, Params, threads) name,
#include "kernels/cuda/kernels.inc"
#undef KONV_CUDA
};

inline const KernelInfo& info(KernelId id) { return kernel_list()[static_cast<std::size_t>(id)]; }

/// Names the sources both sides of the boundary must share.
const char* build_id();

struct Launch {
  KernelId kernel{};
  std::uint32_t grid[3] = {1, 1, 1};
  std::uint32_t threads = 0;
  std::int64_t shared_bytes = 0;
  std::vector<std::byte> params;
};

/// out[m][n] = activation(sum a[m][k] b[n][k] + bias[n] + residual[m][n]), by cuBLASLt.
struct MatrixProduct {
  Precision precision = Precision::float32;
  std::int64_t m = 0, n = 0, k = 0;
  const void *a = nullptr, *b = nullptr;
  const void* bias = nullptr;      ///< of the output's type, or null
  const void* residual = nullptr;  ///< laid out like the output, or null
  bool relu = false;
  void* out = nullptr;
};

using Call = std::variant<Launch, MatrixProduct>;

struct Grid {
  std::int64_t x = 1, y = 1, z = 1;
};

/// A launch of a kernel with these parameters.
template <class Params>
Launch make_launch(KernelId id, const Params& params, Grid grid, std::int64_t shared_bytes = 0) {
  Launch launch;
  launch.kernel = id;
  launch.grid[0] = static_cast<std::uint32_t>(grid.x);
  launch.grid[1] = static_cast<std::uint32_t>(grid.y);
  launch.grid[2] = static_cast<std::uint32_t>(grid.z);
  launch.threads = static_cast<std::uint32_t>(info(id).threads);
  launch.shared_bytes = shared_bytes;
  launch.params.resize(sizeof(Params));
  std::memcpy(launch.params.data(), &params, sizeof(Params));
  return launch;
}

/// As many blocks as `count` items need, one per thread.
template <class Params>
Launch launch_flat(KernelId id, const Params& params, std::int64_t count) {
  const std::int64_t threads = info(id).threads;
  return make_launch(id, params, {.x = (count + threads - 1) / threads});
}

/// The kernel for an element type; tf32 is stored as float32.
inline KernelId by_storage(Precision p, KernelId float32, KernelId float16) { return p == Precision::float16 ? float16 : float32; }

}  // namespace konv::cuda
