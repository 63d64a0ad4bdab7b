// What products by tile registers (amx.h) cost.
#pragma once

#include <cstdint>

#include "kernels/base/machine.h"
#include "kernels/cpu/tiling.h"

namespace konv {

/// Products of `steps` times 64 bytes of inputs with each of `outputs`: 16 pixels by 16 outputs in 16 cycles, bytes and bfloat16 alike, of which they reach two
/// thirds; sums pass the first cache on their way to outputs. For fewer pixels a tile of weights takes as long to load.
inline double tile_seconds(std::int64_t pixels, std::int64_t outputs, std::int64_t steps, const Machine& m) {
  return static_cast<double>(larger(pixels, 16) * outputs) * (4 * static_cast<double>(steps) / 0.65 + 16) / m.flops;
}

/// Gathering the inputs of so many steps, once for every pixel.
inline double gather_seconds(std::int64_t pixels, std::int64_t steps, const Machine& m) {
  return 200 * static_cast<double>(pixels * (steps + 3)) / m.flops;
}

}  // namespace konv
