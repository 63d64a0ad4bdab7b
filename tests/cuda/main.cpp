// test_cuda counts what the interpreter ran: how many kernels of the list, how many cases. With --every-kernel, one without a case is a failure; it takes all
// kernels' tests in one process (-tc="cuda:*").
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string_view>

#include "tests/support/simt/kernels/run.h"

int main(int count, char** arguments) {
  doctest::Context context(count, arguments);
  const int status = context.run();
  const bool every = std::any_of(arguments, arguments + count, [](std::string_view a) { return a == "--every-kernel"; });
  if (context.shouldExit() || !every) return status;
  const std::span<const std::int64_t> cases = konv::simt::cases_of_kernels();
  bool missing = false;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (cases[i] > 0) continue;
    std::printf("cuda: kernel %s has no case\n", konv::cuda::kernel_list()[i].name);
    missing = true;
  }
  std::printf("cuda: %zu kernels, %lld cases in the interpreter\n", cases.size(),
              static_cast<long long>(std::accumulate(cases.begin(), cases.end(), std::int64_t{0})));
  return missing ? EXIT_FAILURE : status;
}
