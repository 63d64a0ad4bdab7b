// What one core can do at best with products of bytes in tile registers (../amx.h).
#include "kernels/cpu/amx.h"
#include "kernels/cpu/probe/probe.h"

namespace konv {

extern const IntegerProbeCode KONV_ISA_CODE(probe_tiles);

namespace KONV_ISA {
namespace {

double multiply_adds(std::int64_t rounds, std::int32_t* out) {
  const UsingTiles tiles(kRows);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (std::int64_t r = 0; r < rounds; ++r) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  alignas(64) std::int32_t sums[kRows * kTileOutputs];
  _tile_stored(0, sums, kRowBytes);
  memory_is_used();
  std::memcpy(out, sums, kRowBytes);
  return 2.0 * 4 * kRows * kRowBytes * kTileOutputs * static_cast<double>(rounds);
}

}  // namespace
}  // namespace KONV_ISA

const IntegerProbeCode KONV_ISA_CODE(probe_tiles) = {KONV_ISA::multiply_adds};

}  // namespace konv
