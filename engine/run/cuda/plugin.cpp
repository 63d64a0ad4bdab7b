#include "engine/run/cuda/plugin.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include "kernels/cuda/calls.h"

namespace konv::run {
namespace {

namespace fs = std::filesystem;

/// The folder of the library or program that this code is in; empty when it cannot be told. A relative path would mean the working directory: a program
/// that was started that way is asked of the kernel, anything else is not trusted.
fs::path own_folder() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<const void*>(&own_folder), &info) || !info.dli_fname) return {};
  fs::path path = info.dli_fname;
  std::error_code error;
  if (!path.is_absolute()) path = fs::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const fs::path real = fs::canonical(path, error);
  return error ? fs::path{} : real.parent_path();
}

std::string last_error(const konv_cuda_table& table) { return table.last_error(); }

CudaPlugin find_and_load() {
  const fs::path folder = own_folder();
  if (folder.empty()) return {nullptr, "no CUDA plug-in: the folder of libkonv cannot be told", {}};
  std::error_code error;
  for (const fs::path& candidate : {folder / "libkonv_cuda.so", folder / "../lib/libkonv_cuda.so"}) {
    if (fs::exists(candidate, error)) return load_cuda_plugin(candidate.lexically_normal().string());
  }
  return {nullptr, "no CUDA plug-in: libkonv_cuda.so is not beside libkonv in " + folder.string(), {}};
}

}  // namespace

CudaPlugin load_cuda_plugin(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays for good: kernels may be running
  if (!library) {
    const char* why = dlerror();
    return {nullptr, "no CUDA plug-in: " + std::string(why ? why : path.c_str()), {}};
  }
  const auto get = reinterpret_cast<konv_cuda_get_table_function>(dlsym(library, "konv_cuda_get_table"));
  if (!get) return {nullptr, "no CUDA plug-in: " + path + " exports no konv_cuda_get_table", {}};
  const konv_cuda_table* table = get();
  if (table->version != KONV_CUDA_TABLE_VERSION || table->bytes != sizeof(konv_cuda_table))
    return {nullptr,
            "no CUDA plug-in: " + path + " has table version " + std::to_string(table->version) + "; expected " +
                std::to_string(KONV_CUDA_TABLE_VERSION),
            {}};
  if (std::string(table->build_id) != cuda::build_id() || table->kernel_count != static_cast<int>(cuda::kernel_list().size()))
    return {nullptr, "no CUDA plug-in: " + path + " is of build " + table->build_id + "; expected " + cuda::build_id(), {}};

  CudaPlugin plugin;
  std::int32_t count = 0;
  if (table->device_count(&count) != 0) {
    plugin.missing = last_error(*table);
    return plugin;
  }
  for (std::int32_t i = 0; i < count; ++i) {
    konv_cuda_device device{};
    if (table->describe(i, &device) != 0) {
      plugin.missing = last_error(*table);
      return plugin;
    }
    plugin.devices.push_back(device);
  }
  if (count == 0) {
    plugin.missing = "the CUDA driver sees no device";
    return plugin;
  }
  plugin.table = table;
  return plugin;
}

const CudaPlugin& cuda_plugin() {
  static const CudaPlugin plugin = find_and_load();
  return plugin;
}

cuda::Gpu gpu_of(const konv_cuda_device& d) {
  const double bandwidth = 2.0 * d.memory_clock_khz * 1e3 * d.memory_bus_bits / 8;  // double data rate
  return cuda::gpu_from_properties(d.name, d.major * 10 + d.minor, d.multiprocessors, d.clock_khz * 1e3, bandwidth, d.l2_bytes,
                                   d.shared_bytes_per_multiprocessor);
}

}  // namespace konv::run
