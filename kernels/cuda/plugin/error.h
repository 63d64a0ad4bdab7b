// How the plug-in says what went wrong: one line per thread, handed out by the table's last_error.
#pragma once

#include <cuda_runtime.h>

#include <string>

namespace konv::cuda {

std::string& last_error();

/// 0, or 1 with "what: CUDA's text" as the last error.
int check(cudaError_t status, const char* what);

/// The calling thread's current device is put back at the end.
class OnDevice {
 public:
  explicit OnDevice(int device) : valid_(cudaGetDevice(&before_) == cudaSuccess) { cudaSetDevice(device); }
  ~OnDevice() {
    if (valid_) cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_ = 0;
  bool valid_;
};

/// What the table's opaque stream is.
struct Stream {
  int device = 0;
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;  ///< of cuBLASLt, from the first product on
};

}  // namespace konv::cuda
