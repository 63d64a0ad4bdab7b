// What stands behind the public Runtime.
#pragma once

#include <konv/konv.hpp>

#include "engine/base/thread_pool.h"

namespace konv {

struct Runtime::Impl {
  explicit Impl(int threads) : pool(threads) {}
  ThreadPool pool;
};

}  // namespace konv
