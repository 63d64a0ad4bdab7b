#include <thread>

#include <nlohmann/json.hpp>

#include "engine/api/model_impl.h"
#include "engine/api/plan_file.h"
#include "engine/run/cuda/plugin.h"

#if KONV_HAVE_CPUINFO
#include <cpuinfo.h>
#endif

namespace konv {

std::string devices(bool measure) {
  nlohmann::ordered_json out;
  const Machine machine = api::machine_for();
  nlohmann::ordered_json cpu = {{"device", "cpu"},
                                {"isa", name(machine.isa)},
                                {"detected_isa", name(detected_isa())},
                                {"bfloat16_dot_product", detected_isa() >= Isa::avx512_bf16},
                                {"cores", std::thread::hardware_concurrency()}};
  if (measure) {
    const Machine& here = api::measured_machine();
    cpu["peak_gflops"] = 1e-9 * here.flops;
    cpu["peak_int8_gops"] = 1e-9 * api::measured_integer_rate();
    cpu["l1_gb_per_s"] = 1e-9 * here.l1_bandwidth;
    cpu["l2_gb_per_s"] = 1e-9 * here.l2_bandwidth;
    cpu["l3_gb_per_s"] = 1e-9 * here.l3_bandwidth;
    cpu["dram_gb_per_s"] = 1e-9 * here.dram_bandwidth;
  }
#if KONV_HAVE_CPUINFO
  if (cpuinfo_initialize()) {
    cpu["name"] = api::cpu_name();
    const auto size = [](const cpuinfo_cache* cache) { return cache ? cache->size : 0u; };
    cpu["l1d_bytes"] = size(cpuinfo_get_l1d_caches_count() ? cpuinfo_get_l1d_cache(0) : nullptr);
    cpu["l2_bytes"] = size(cpuinfo_get_l2_caches_count() ? cpuinfo_get_l2_cache(0) : nullptr);
    cpu["l3_bytes"] = size(cpuinfo_get_l3_caches_count() ? cpuinfo_get_l3_cache(0) : nullptr);
  }
#endif
  out["devices"] = {std::move(cpu)};
  const run::CudaPlugin& plugin = run::cuda_plugin();
  for (std::size_t i = 0; i < plugin.devices.size(); ++i) {
    const konv_cuda_device& d = plugin.devices[i];
    out["devices"].push_back({{"device", "cuda:" + std::to_string(i)},
                              {"name", d.name},
                              {"compute", std::to_string(d.major) + "." + std::to_string(d.minor)},
                              {"multiprocessors", d.multiprocessors},
                              {"memory_bytes", d.memory_bytes},
                              {"l2_bytes", d.l2_bytes},
                              {"driver", d.driver_version},
                              {"runtime", d.runtime_version}});
  }
  out["cuda"] = plugin.table ? std::to_string(plugin.devices.size()) + " device" + (plugin.devices.size() == 1 ? "" : "s") : plugin.missing;
  return out.dump(2);
}

}  // namespace konv
