#include "kernels/cpu/gather/gather.h"

#include <cstring>

#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_gather_nothing(const GatherShape&) { return nullptr; }

double cost_gather(const GatherShape& s, const Machine& m) {
  const auto pieces = static_cast<double>(s.outer * s.indices);
  return stream_seconds(2 * pieces * static_cast<double>(s.inner * s.element_bytes), m) + 5e-9 * pieces + kCallSeconds;
}

std::int64_t index_at(const TensorView& indices, std::int64_t i, std::int64_t size) {
  std::int64_t index =
      indices.dtype == DType::int32 ? static_cast<const std::int32_t*>(indices.data)[i] : static_cast<const std::int64_t*>(indices.data)[i];
  if (index < 0) index += size;
  return clamped(index, 0, size - 1);
}

/// Pieces (one index of one outer element) per chunk.
std::int64_t per_chunk(const GatherShape& s) { return larger(1, kChunkElements / (s.inner + 8)); }
std::int64_t chunks(const GatherShape& s) { return s.axis_size == 0 ? 0 : flat_chunks(s.outer * s.indices, per_chunk(s)); }
std::size_t workspace(const GatherShape&) { return 0; }

void run(const GatherArgs& args, std::int64_t chunk, void*) {
  const GatherShape& s = args.shape;
  const Range pieces = piece(s.outer * s.indices, per_chunk(s), chunk);
  const std::int64_t bytes = s.inner * s.element_bytes;
  const std::byte* data = static_cast<const std::byte*>(args.data.data);
  std::byte* out = static_cast<std::byte*>(args.out.data);
  for (std::int64_t p = pieces.begin; p < pieces.end; ++p) {
    const std::int64_t from = p / s.indices * s.axis_size + index_at(args.indices, p % s.indices, s.axis_size);
    std::memcpy(out + p * bytes, data + from * bytes, static_cast<std::size_t>(bytes));
  }
}

extern const GatherCode gather_copy_code;
const GatherCode gather_copy_code = {chunks, workspace, run};

}  // namespace

std::span<const GatherKernel> gather_kernels() {
  static const GatherKernel kernels[] = {
#define KONV_GATHER(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/gather/gather_kernels.inc"
#undef KONV_GATHER
  };
  return kernels;
}

}  // namespace konv
