#include "kernels/cuda/plugin/blas.h"

#if KONV_HAVE_CUBLAS

#include <cublasLt.h>
#include <dlfcn.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <type_traits>

namespace konv::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = 32 << 20;  // what NVIDIA recommends for compute capability 9.0

struct Library {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtMatmulDescCreate) operation_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) operation_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) operation_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) algorithm_get = nullptr;
  decltype(&cublasLtMatmul) multiply = nullptr;
  decltype(&cublasLtGetStatusString) status_string = nullptr;
  std::string error;
};

/// By soname: beside the plug-in's run path (the toolkit or the wheels it was built with), then wherever the loader looks.
const Library& library() {
  static const Library loaded = [] {
    Library l;
    void* handle = dlopen(KONV_CUBLAS_SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      const char* why = dlerror();
      l.error = std::string("cuBLASLt cannot be loaded: ") + (why ? why : KONV_CUBLAS_SONAME);
      return l;
    }
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
      if (!function) l.error = std::string("cuBLASLt lacks ") + name;
    };
    find(l.create, "cublasLtCreate");
    find(l.operation_create, "cublasLtMatmulDescCreate");
    find(l.operation_destroy, "cublasLtMatmulDescDestroy");
    find(l.operation_set, "cublasLtMatmulDescSetAttribute");
    find(l.layout_create, "cublasLtMatrixLayoutCreate");
    find(l.layout_destroy, "cublasLtMatrixLayoutDestroy");
    find(l.preference_create, "cublasLtMatmulPreferenceCreate");
    find(l.preference_destroy, "cublasLtMatmulPreferenceDestroy");
    find(l.preference_set, "cublasLtMatmulPreferenceSetAttribute");
    find(l.heuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(l.algorithm_get, "cublasLtMatmulAlgoConfigGetAttribute");
    find(l.multiply, "cublasLtMatmul");
    find(l.status_string, "cublasLtGetStatusString");
    return l;
  }();
  return loaded;
}

int check_blas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return 0;
  last_error() = std::string(what) + ": " + library().status_string(status);
  return 1;
}

/// One handle per device, for good: it may be used from all threads.
int handle_of(int device, cublasLtHandle_t& handle) {
  static std::mutex mutex;
  static std::map<int, cublasLtHandle_t> handles;
  const std::lock_guard lock(mutex);
  cublasLtHandle_t& known = handles[device];
  if (!known && check_blas(library().create(&known), "cublasLtCreate")) return 1;
  handle = known;
  return 0;
}

/// cuBLASLt's objects, destroyed with the product.
struct Product {
  explicit Product(Stream& s) : stream(s) {}
  ~Product() {
    for (cublasLtMatrixLayout_t layout : {weight, pixels, result}) {
      if (layout) library().layout_destroy(layout);
    }
    if (operation) library().operation_destroy(operation);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  Stream& stream;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t weight = nullptr, pixels = nullptr, result = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  konv_cuda_product p{};
};

template <class T>
int set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  return check_blas(library().operation_set(operation, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
}

/// Row-major out[m][n] is column-major n x m: b (k x n, transposed) times a (k x m).
int describe(Product& made) {
  const konv_cuda_product& p = made.p;
  const cudaDataType type = p.precision == KONV_CUDA_FLOAT16 ? CUDA_R_16F : CUDA_R_32F;
  const cublasComputeType_t compute = p.precision == KONV_CUDA_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const auto n = static_cast<std::uint64_t>(p.n), m = static_cast<std::uint64_t>(p.m), k = static_cast<std::uint64_t>(p.k);
  if (check_blas(library().operation_create(&made.operation, compute, CUDA_R_32F), "cublasLtMatmulDescCreate") ||
      check_blas(library().layout_create(&made.weight, type, k, n, p.k), "cublasLtMatrixLayoutCreate") ||
      check_blas(library().layout_create(&made.pixels, type, k, m, p.k), "cublasLtMatrixLayoutCreate") ||
      check_blas(library().layout_create(&made.result, type, n, m, p.n), "cublasLtMatrixLayoutCreate"))
    return 1;
  cublasLtEpilogue_t epilogue = p.relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
  if (p.bias) epilogue = p.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
  if (set(made.operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T) || set(made.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue))
    return 1;
  return p.bias ? set(made.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias) : 0;
}

/// What the address is a multiple of, up to the 256 bytes that cuBLASLt would assume.
std::uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | 256;
  return static_cast<std::uint32_t>(bits & ~(bits - 1));
}

bool splits_sums(const cublasLtMatmulAlgo_t& algorithm) {
  std::int32_t parts = 1;
  std::uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
  std::size_t written = 0;
  library().algorithm_get(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts, sizeof parts, &written);
  library().algorithm_get(&algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme, sizeof scheme, &written);
  return parts > 1 || scheme != CUBLASLT_REDUCTION_SCHEME_NONE;
}

const void* addend(const konv_cuda_product& p) { return p.residual ? p.residual : p.out; }

int settle(Product& made) {
  const konv_cuda_product& p = made.p;
  cublasLtMatmulPreference_t preference = nullptr;
  if (check_blas(library().preference_create(&preference), "cublasLtMatmulPreferenceCreate")) return 1;
  const std::unique_ptr<std::remove_pointer_t<cublasLtMatmulPreference_t>, decltype(library().preference_destroy)> owner(
      preference, library().preference_destroy);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    return check_blas(library().preference_set(preference, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  };
  if (prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes}) ||
      prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE}) ||
      prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.b)) ||
      prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.a)) ||
      prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(addend(p))) ||
      prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.out)))
    return 1;
  cublasLtMatmulHeuristicResult_t results[16];
  int count = 0;
  if (check_blas(library().heuristic(made.handle, made.operation, made.weight, made.pixels, made.result, made.result, preference,
                                     static_cast<int>(std::size(results)), results, &count),
                 "cublasLtMatmulAlgoGetHeuristic"))
    return 1;
  for (int i = 0; i < count; ++i) {
    if (results[i].state != CUBLAS_STATUS_SUCCESS || splits_sums(results[i].algo)) continue;
    made.algorithm = results[i].algo;
    return 0;
  }
  last_error() = "cuBLASLt has no algorithm without split sums for a product of " + std::to_string(p.m) + " x " + std::to_string(p.n) +
                 " x " + std::to_string(p.k);
  return 1;
}

}  // namespace

int product_open() {
  if (library().error.empty()) return 0;
  last_error() = library().error;
  return 1;
}

int product_create(Stream& stream, const konv_cuda_product& product, void** out) {
  if (product_open()) return 1;
  const OnDevice on(stream.device);
  if (!stream.workspace && check(cudaMalloc(&stream.workspace, kWorkspaceBytes), "cudaMalloc")) return 1;
  auto made = std::make_unique<Product>(stream);
  made->p = product;
  if (handle_of(stream.device, made->handle) || describe(*made) || settle(*made)) return 1;
  *out = made.release();
  return 0;
}

int product_run(void* product) {
  const Product& made = *static_cast<Product*>(product);
  const OnDevice on(made.stream.device);
  const float one = 1, beta = made.p.residual ? 1 : 0;
  return check_blas(
      library().multiply(made.handle, made.operation, &one, made.p.b, made.weight, made.p.a, made.pixels, &beta, addend(made.p),
                         made.result, made.p.out, made.result, &made.algorithm, made.stream.workspace, kWorkspaceBytes, made.stream.stream),
      "cublasLtMatmul");
}

int product_destroy(void* product) {
  delete static_cast<Product*>(product);
  return 0;
}

void products_end(Stream& stream) {
  if (stream.workspace) cudaFree(stream.workspace);
}

}  // namespace konv::cuda

#else

namespace konv::cuda {

int product_open() {
  last_error() = "cuBLASLt is not part of this build; expected one made where its headers are (tools/setup --cuda)";
  return 1;
}
int product_create(Stream&, const konv_cuda_product&, void**) { return product_open(); }
int product_run(void*) { return product_open(); }
int product_destroy(void*) { return product_open(); }
void products_end(Stream&) {}

}  // namespace konv::cuda

#endif
