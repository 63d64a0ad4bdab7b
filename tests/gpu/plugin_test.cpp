// What the plug-in does without a GPU: test_gpu takes the one that lies beside it.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "kernels/cuda/calls.h"
#include "kernels/cuda/table.h"

namespace konv::test {
namespace {

const konv_cuda_table* table_beside_this_program() {
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libkonv_cuda.so";
  if (!std::filesystem::exists(path)) {
    std::printf("konv-skipped: this build has no CUDA plug-in\n");
    return nullptr;
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE_MESSAGE(library, dlerror());
  return reinterpret_cast<konv_cuda_get_table_function>(dlsym(library, "konv_cuda_get_table"))();
}

bool is_mapped(const std::string& name) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(name) != std::string::npos) return true;
  }
  return false;
}

TEST_CASE("plugin: cuBLASLt is loaded when it is asked for, and not before") {
  const konv_cuda_table* table = table_beside_this_program();
  if (!table) return;
  CHECK(table->version == KONV_CUDA_TABLE_VERSION);
  CHECK(std::string(table->build_id) == cuda::build_id());
  CHECK(!is_mapped("libcublas"));
  if (table->product_open() == 0) {
    CHECK(is_mapped("libcublasLt"));
    CHECK(!is_mapped("libcublas.so"));
  } else {
    CHECK(std::string(table->last_error()).starts_with("cuBLASLt "));
  }
}

}  // namespace
}  // namespace konv::test
