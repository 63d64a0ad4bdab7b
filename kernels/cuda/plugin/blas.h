// cuBLAS, opened when the first plan asks for it: loading takes a part of a second and 150 MB that most networks do not need.
#pragma once

#include "kernels/cuda/plugin/error.h"
#include "kernels/cuda/table.h"

namespace konv::cuda {

int blas_open(Stream& stream);
int blas_multiply(Stream& stream, const konv_cuda_gemm& product);
void blas_close(Stream& stream);

}  // namespace konv::cuda
