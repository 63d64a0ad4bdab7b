#include "kernels/cpu/copy/copy.h"

#include <type_traits>

#include "kernels/cpu/copy/element.h"
#include "kernels/cpu/strided.h"
#include "kernels/cpu/tiling.h"
#include "kernels/cpu/traffic.h"

namespace konv {
namespace {

const char* refuse_element_size(const CopyShape& s) { return refuse_bytes(s.element_bytes); }

double cost_copy(const CopyShape& s, const Machine& m) {
  return stream_seconds(2.0 * static_cast<double>(s.count * s.element_bytes), m) + kCallSeconds;
}
double cost_fill(const CopyShape& s, const Machine& m) {
  return stream_seconds(static_cast<double>(s.count * s.element_bytes), m) + kCallSeconds;
}

std::int64_t chunks(const CopyShape& s) { return flat_chunks(s.count); }
std::size_t workspace(const CopyShape&) { return 0; }

/// So many bytes as one element, aligned or not.
template <int N>
struct Block {
  std::uint8_t bytes[N];
};

template <class T>
void copy_elements(const CopyArgs& args, const StridedLoop<2>& loop, Range range) {
  const T* in = static_cast<const T*>(args.in.data);
  T* out = static_cast<T*>(args.out.data);
  for_runs(loop, range.begin, range.end,
           [&](const std::int64_t* at, std::int64_t n) { copy_run(in + at[0], loop.step(0), out + at[1], loop.step(1), n); });
}

/// Whether the innermost dimension is `size` elements that lie side by side in both views, whose other strides are multiples of it: an element of its own then.
bool is_block(const StridedLoop<2>& loop, std::int64_t size) {
  const int last = loop.rank - 1;
  if (size < 2 || last < 1 || loop.dims[last] != size || loop.step(0) != 1 || loop.step(1) != 1) return false;
  for (int d = 0; d < last; ++d) {
    if (loop.strides[0][d] % size || loop.strides[1][d] % size) return false;
  }
  return true;
}

/// The loop over blocks of `size` elements.
StridedLoop<2> over_blocks(StridedLoop<2> loop, std::int64_t size) {
  --loop.rank;
  for (int d = 0; d < loop.rank; ++d) loop.strides[0][d] /= size, loop.strides[1][d] /= size;
  return loop;
}

void run_copy(const CopyArgs& args, std::int64_t chunk, void*) {
  const StridedLoop<2> loop = collapse<2>({&args.in, &args.out});
  const Range range = piece(args.shape.count, kChunkElements, chunk);
  // Lanes of a pixel are a short run each, and runs have their price.
  const auto copied = [&]<int Bytes>(std::integral_constant<int, Bytes>) {
    static_assert(kChunkElements % Bytes == 0);
    const std::int64_t size = Bytes / args.shape.element_bytes;
    if (!is_block(loop, size)) return false;
    copy_elements<Block<Bytes>>(args, over_blocks(loop, size), {range.begin / size, range.end / size});
    return true;
  };
  if (copied(std::integral_constant<int, 64>{}) || copied(std::integral_constant<int, 32>{}) || copied(std::integral_constant<int, 16>{}) ||
      copied(std::integral_constant<int, 8>{}))
    return;
  with_element(args.shape.element_bytes, [&](auto element) { copy_elements<decltype(element)>(args, loop, range); });
}

void run_fill(const FillArgs& args, std::int64_t chunk, void*) {
  const StridedLoop<1> loop = collapse<1>({&args.out});
  const Range range = piece(args.shape.count, kChunkElements, chunk);
  with_element(args.shape.element_bytes, [&](auto element) {
    using T = decltype(element);
    T* out = static_cast<T*>(args.out.data);
    const T value = first_bytes<T>(args.value);
    for_runs(loop, range.begin, range.end, [&](const std::int64_t* at, std::int64_t n) { fill_run(out + at[0], loop.step(0), n, value); });
  });
}

constexpr CopyCode copy_strided_code = {chunks, workspace, run_copy};
constexpr FillCode fill_strided_code = {chunks, workspace, run_fill};

}  // namespace

std::span<const CopyKernel> copy_kernels() {
  static const CopyKernel kernels[] = {
#define KONV_COPY(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/copy/copy_kernels.inc"
#undef KONV_COPY
  };
  return kernels;
}

std::span<const FillKernel> fill_kernels() {
  static const FillKernel kernels[] = {
#define KONV_FILL(name, isa, refuse, cost) {#name, Isa::isa, refuse, cost, &name##_code},
#include "kernels/cpu/copy/fill_kernels.inc"
#undef KONV_FILL
  };
  return kernels;
}

}  // namespace konv
