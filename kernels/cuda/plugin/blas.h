// Matrix products by cuBLASLt, opened when the first plan asks for one: loading takes a part of a second and of a gigabyte that most networks do not need.
// It is the interface of cuBLAS that lets an algorithm be settled beforehand and forbids it to split sums.
#pragma once

#include "kernels/cuda/plugin/error.h"
#include "kernels/cuda/table.h"

namespace konv::cuda {

int product_open();
int product_create(Stream& stream, const konv_cuda_product& product, void** made);
int product_run(void* product);
int product_destroy(void* product);
/// Frees what products of the stream worked in.
void products_end(Stream& stream);

}  // namespace konv::cuda
