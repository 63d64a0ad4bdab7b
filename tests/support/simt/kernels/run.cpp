#include "tests/support/simt/kernels/run.h"

#include "kernels/cuda/device.h"

namespace konv::cuda {

#define KONV_CUDA(name, Params, threads) void name(const Params&);
#include "kernels/cuda/kernels.inc"
#undef KONV_CUDA

}  // namespace konv::cuda

namespace konv::simt {
namespace {

using Body = void (*)(const void*);

constexpr Body kBodies[] = {
#define KONV_CUDA(name, Params, threads) [](const void* params) { cuda::name(*static_cast<const cuda::Params*>(params)); },
#include "kernels/cuda/kernels.inc"
#undef KONV_CUDA
};

std::int64_t cases[std::size(kBodies)] = {};

template <class T>
void multiply(const cuda::MatrixProduct& p) {
  const auto *a = static_cast<const T*>(p.a), *b = static_cast<const T*>(p.b);
  auto* out = static_cast<T*>(p.out);
  for (std::int64_t i = 0; i < p.m; ++i) {
    for (std::int64_t j = 0; j < p.n; ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < p.k; ++k)
        sum += static_cast<double>(cuda::to_float(a[i * p.k + k])) * static_cast<double>(cuda::to_float(b[j * p.k + k]));
      if (p.bias) sum += static_cast<double>(cuda::to_float(static_cast<const T*>(p.bias)[j]));
      if (p.residual) sum += static_cast<double>(cuda::to_float(static_cast<const T*>(p.residual)[i * p.n + j]));
      if (p.relu && sum < 0) sum = 0;
      out[i * p.n + j] = cuda::from_float<T>(static_cast<float>(sum));
    }
  }
}

}  // namespace

Counters run(const cuda::Launch& l, const Options& options) {
  const cuda::KernelInfo& info = cuda::info(l.kernel);
  if (l.params.size() != info.params_bytes)
    throw Failure(std::string("launch: ") + info.name + " gets " + std::to_string(l.params.size()) + " bytes of parameters; expected " +
                  std::to_string(info.params_bytes));
  const auto body = kBodies[static_cast<int>(l.kernel)];
  ++cases[static_cast<int>(l.kernel)];
  // As the GPU has it: a copy that is aligned for every type.
  alignas(16) std::byte params[1024];
  if (l.params.size() > sizeof params) throw Failure("launch: parameters exceed 1024 bytes");
  std::memcpy(params, l.params.data(), l.params.size());
  try {
    return launch(
        {l.grid[0], l.grid[1], l.grid[2]}, {l.threads}, static_cast<std::size_t>(l.shared_bytes), [&] { body(params); }, options);
  } catch (const Failure& failure) {
    throw Failure(std::string(info.name) + ": " + failure.what());
  }
}

std::span<const std::int64_t> cases_of_kernels() { return cases; }

void run(const cuda::MatrixProduct& product) {
  if (product.precision == cuda::Precision::float16) {
    multiply<cuda::Half>(product);
  } else {
    multiply<float>(product);
  }
}

Counters run(std::span<const cuda::Call> calls, const Options& options) {
  Counters counters;
  for (const cuda::Call& call : calls) {
    if (const auto* product = std::get_if<cuda::MatrixProduct>(&call)) {
      run(*product);
    } else {
      counters += run(std::get<cuda::Launch>(call), options);
    }
  }
  return counters;
}

}  // namespace konv::simt
