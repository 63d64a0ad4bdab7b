#include "engine/api/device_choice.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "engine/run/cuda/plugin.h"
#include "engine/run/network.h"

namespace konv::api {
namespace {

std::string described_names() {
  std::string names;
  for (const cuda::Gpu& gpu : cuda::described_gpus()) names += (names.empty() ? "cuda:" : ", cuda:") + gpu.name;
  return names;
}

cuda::Precision gpu_precision(const std::string& name) {
  const std::optional<cuda::Precision> precision = cuda::precision_from_name(name);
  if (!precision) throw Error(fmt::format("--precision {}: no CUDA kernel computes in it; expected float32, tf32 or float16", name));
  return *precision;
}

GpuChoice device_number(const SessionOptions& options, std::size_t number) {
  const run::CudaPlugin& plugin = run::cuda_plugin();
  if (!plugin.table)
    throw Error(fmt::format("--device {}: {}; expected a machine with an NVIDIA GPU, its driver and a build with CUDA, or --device cpu",
                            options.device, plugin.missing));
  if (number >= plugin.devices.size())
    throw Error(fmt::format("--device {}: this machine has {} CUDA device{}; expected cuda:0 to cuda:{}", options.device,
                            plugin.devices.size(), plugin.devices.size() == 1 ? "" : "s", plugin.devices.size() - 1));
  const konv_cuda_device& found = plugin.devices[number];
  if (found.major < 8)
    throw Error(fmt::format("--device {}: {} has compute capability {}.{}; expected 8.0 or newer", options.device, found.name, found.major,
                            found.minor));
  GpuChoice choice;
  choice.device = run::CudaDevice{plugin.table, static_cast<std::int32_t>(number), fmt::format("cuda:{}", number)};
  choice.target = {.gpu = run::gpu_of(found), .device = choice.device->name};
  return choice;
}

}  // namespace

std::optional<GpuChoice> choose_gpu(const SessionOptions& options) {
  const std::string& device = options.device;
  if (!options.fallback.empty() && options.fallback != "cpu") throw Error(fmt::format("--fallback {}: expected cpu", options.fallback));
  if (device == "cpu") return {};
  std::optional<GpuChoice> choice;
  if (device == "auto") {
    const run::CudaPlugin& plugin = run::cuda_plugin();
    if (!plugin.table || plugin.devices.front().major < 8 || !cuda::precision_from_name(options.precision)) return {};
    choice = device_number(options, 0);
  } else if (device == "cuda") {
    choice = device_number(options, 0);
  } else if (device.starts_with("cuda:")) {
    const std::string which = device.substr(5);
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), number);
    if (error == std::errc{} && end == which.data() + which.size()) {
      choice = device_number(options, number);
    } else if (const cuda::Gpu* gpu = cuda::described_gpu(which)) {
      choice = GpuChoice{{.gpu = *gpu, .device = device}, {}};
    }
  }
  if (!choice)
    throw Error(fmt::format("--device {}: is no device; expected auto, cpu, cuda, cuda:N, or for plans and predictions {}", device,
                            described_names()));
  if (options.tune != "off" || !options.plan_file.empty())
    throw Error("--tune, --plan-file: choose among kernels of the CPU; expected --device cpu, or neither");
  choice->target.precision = gpu_precision(options.precision);
  choice->target.fallback_cpu = options.fallback == "cpu";
  choice->target.memory_limit = options.memory_limit;
  return choice;
}

std::optional<GpuChoice> choose_gpu_for(const Graph& graph, const std::vector<Dims>& shapes, const SessionOptions& options) {
  std::optional<GpuChoice> choice = choose_gpu(options);
  if (!choice || options.device != "auto") return choice;
  try {
    plan::make_for_cuda(graph, run::by_value(graph, shapes), choice->target);
  } catch (const Error&) {
    return {};
  }
  return choice;
}

plan::Options options_on_cpu(const SessionOptions& options, int threads) {
  if (options.precision != "float32" && options.precision != "bfloat16")
    throw Error(fmt::format("--precision {}: no kernel of the CPU computes in it; expected float32 or bfloat16", options.precision));
  return {.memory_limit = options.memory_limit,
          .threads = threads,
          .max_error = options.max_error,
          .bfloat16 = options.precision == "bfloat16"};
}

}  // namespace konv::api
