// Walks several strided views of equal sizes together, in runs along the innermost dimension.
#pragma once

#include <cstdint>

#include "kernels/base/tensor_view.h"

namespace konv {

/// Sizes and strides of N views, adjacent dimensions merged wherever all views allow it. Rank is at least 1.
template <int N>
struct StridedLoop {
  int rank = 0;
  std::int64_t dims[kMaxRank] = {};
  std::int64_t strides[N][kMaxRank] = {};

  std::int64_t step(int view) const { return strides[view][rank - 1]; }
};

template <int N>
static inline StridedLoop<N> collapse(const TensorView* const (&views)[N], int rank) {
  StridedLoop<N> loop;
  for (int d = 0; d < rank; ++d) {
    const std::int64_t size = views[0]->dims[d];
    if (size == 1) continue;
    bool merge = loop.rank > 0;
    for (int v = 0; v < N && merge; ++v) merge = loop.strides[v][loop.rank - 1] == size * views[v]->strides[d];
    const int at = merge ? loop.rank - 1 : loop.rank++;
    loop.dims[at] = merge ? loop.dims[at] * size : size;
    for (int v = 0; v < N; ++v) loop.strides[v][at] = views[v]->strides[d];
  }
  if (loop.rank == 0) {
    loop.rank = 1;
    loop.dims[0] = 1;
    for (int v = 0; v < N; ++v) loop.strides[v][0] = 1;
  }
  return loop;
}

template <int N>
static inline StridedLoop<N> collapse(const TensorView* const (&views)[N]) {
  return collapse(views, views[0]->rank);
}

/// Calls f(offsets[N], length) for the runs that make up the flat indices [begin, end).
template <int N, class F>
static inline void for_runs(const StridedLoop<N>& loop, std::int64_t begin, std::int64_t end, const F& f) {
  if (begin >= end) return;  // a size may be 0
  std::int64_t index[kMaxRank] = {};
  std::int64_t offsets[N] = {};
  const int last = loop.rank - 1;
  std::int64_t rest = begin;
  for (int d = last; d >= 0; --d) {
    index[d] = rest % loop.dims[d];
    rest /= loop.dims[d];
    for (int v = 0; v < N; ++v) offsets[v] += index[d] * loop.strides[v][d];
  }
  while (begin < end) {
    std::int64_t length = loop.dims[last] - index[last];
    if (length > end - begin) length = end - begin;
    f(offsets, length);
    begin += length;
    index[last] += length;
    for (int v = 0; v < N; ++v) offsets[v] += length * loop.strides[v][last];
    for (int d = last; d > 0 && index[d] == loop.dims[d]; --d) {
      for (int v = 0; v < N; ++v) offsets[v] += loop.strides[v][d - 1] - index[d] * loop.strides[v][d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

}  // namespace konv
