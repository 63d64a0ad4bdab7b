#include "kernels/cuda/plugin/blas.h"

#if KONV_HAVE_CUBLAS

#include <cublas_v2.h>
#include <dlfcn.h>

namespace konv::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = 32 << 20;  // what NVIDIA recommends for compute capability 9.0

/// cublasGemmEx, which is overloaded in C++.
using Gemm = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*, const void*, cudaDataType,
                                int, const void*, cudaDataType, int, const void*, void*, cudaDataType, int, cublasComputeType_t,
                                cublasGemmAlgo_t);

struct Blas {
  decltype(&cublasCreate_v2) create = nullptr;
  decltype(&cublasDestroy_v2) destroy = nullptr;
  decltype(&cublasSetStream_v2) set_stream = nullptr;
  decltype(&cublasSetWorkspace_v2) set_workspace = nullptr;
  Gemm gemm = nullptr;
  decltype(&cublasGetStatusString) status_string = nullptr;
  std::string error;
};

/// By soname: beside the plug-in's run path (the toolkit or the wheels it was built with), then wherever the loader looks.
const Blas& blas() {
  static const Blas loaded = [] {
    Blas b;
    void* library = dlopen(KONV_CUBLAS_SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      const char* why = dlerror();
      b.error = std::string("cuBLAS cannot be loaded: ") + (why ? why : KONV_CUBLAS_SONAME);
      return b;
    }
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      if (!function) b.error = std::string("cuBLAS lacks ") + name;
    };
    find(b.create, "cublasCreate_v2");
    find(b.destroy, "cublasDestroy_v2");
    find(b.set_stream, "cublasSetStream_v2");
    find(b.set_workspace, "cublasSetWorkspace_v2");
    find(b.gemm, "cublasGemmEx");
    find(b.status_string, "cublasGetStatusString");
    return b;
  }();
  return loaded;
}

int check_blas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return 0;
  last_error() = std::string(what) + ": " + blas().status_string(status);
  return 1;
}

}  // namespace

int blas_open(Stream& s) {
  if (s.blas) return 0;
  const Blas& b = blas();
  if (!b.error.empty()) {
    last_error() = b.error;
    return 1;
  }
  const OnDevice on(s.device);
  cublasHandle_t handle = nullptr;
  if (check_blas(b.create(&handle), "cublasCreate")) return 1;
  if (check(cudaMalloc(&s.workspace, kWorkspaceBytes), "cudaMalloc") || check_blas(b.set_stream(handle, s.stream), "cublasSetStream") ||
      check_blas(b.set_workspace(handle, s.workspace, kWorkspaceBytes), "cublasSetWorkspace")) {
    b.destroy(handle);
    cudaFree(s.workspace);
    s.workspace = nullptr;
    return 1;
  }
  s.blas = handle;
  return 0;
}

int blas_multiply(Stream& s, const konv_cuda_gemm& p) {
  if (!s.blas) {
    last_error() = "gemm: cuBLAS has not been opened";
    return 1;
  }
  const OnDevice on(s.device);
  const cudaDataType type = p.precision == KONV_CUDA_FLOAT16 ? CUDA_R_16F : CUDA_R_32F;
  const cublasComputeType_t compute = p.precision == KONV_CUDA_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const float one = 1, zero = 0;
  // Row-major out[m][n] is column-major n x m: b' (k x n, transposed) times a (k x m).
  return check_blas(blas().gemm(static_cast<cublasHandle_t>(s.blas), CUBLAS_OP_T, CUBLAS_OP_N, static_cast<int>(p.n), static_cast<int>(p.m),
                                static_cast<int>(p.k), &one, p.b, type, static_cast<int>(p.k), p.a, type, static_cast<int>(p.k), &zero,
                                p.out, type, static_cast<int>(p.n), compute, CUBLAS_GEMM_DEFAULT),
                    "cublasGemmEx");
}

void blas_close(Stream& s) {
  if (!s.blas) return;
  const OnDevice on(s.device);
  blas().destroy(static_cast<cublasHandle_t>(s.blas));
  cudaFree(s.workspace);
  s.blas = s.workspace = nullptr;
}

}  // namespace konv::cuda

#else

namespace konv::cuda {

int blas_open(Stream&) {
  last_error() = "cuBLAS is not part of this build; expected one made where its headers are (tools/setup --cuda)";
  return 1;
}
int blas_multiply(Stream& stream, const konv_cuda_gemm&) { return blas_open(stream); }
void blas_close(Stream&) {}

}  // namespace konv::cuda

#endif
