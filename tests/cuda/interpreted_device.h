// A GPU that is not there: the plug-in's table, kernels run by the interpreter, memory on the host, poisoned when allocated. Streams are serial; a captured graph
// is the list of what was issued.
#pragma once

#include "engine/run/cuda/device.h"
#include "tests/support/simt/interpreter.h"

namespace konv::test {

/// The table; `order` is how threads take turns from now on.
run::CudaDevice interpreted_device(simt::Order order = simt::Order::forward);

/// What has been done since the last reset.
struct DeviceLog {
  std::int64_t launches = 0, products = 0, graph_launches = 0, allocations = 0, live_allocations = 0, copies_outside_graphs = 0;
  std::int64_t live_products = 0, bytes_sent = 0;
  const void* last_copied_from = nullptr;  ///< to the host, outside graphs
};
DeviceLog& device_log();

/// The next allocation fails.
void fail_next_allocation();
/// From now on cuBLASLt cannot be opened; or it can again.
void lose_cublas(bool lost);

}  // namespace konv::test
