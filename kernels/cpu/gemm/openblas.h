// The one door to OpenBLAS. Its serial build searches its buffers without a lock (blas_memory_alloc), so two threads in it at the same time
// may be handed the same buffer: whoever calls it holds openblas_mutex().
#pragma once

#include <mutex>

namespace konv {

std::mutex& openblas_mutex();

}  // namespace konv
