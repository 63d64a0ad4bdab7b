#include "kernels/cuda/launches.h"

namespace konv::cuda {

Launch launch_pool(Precision precision, bool average, const PoolParams& p) {
  const KernelId id = average ? by_storage(precision, KernelId::pool_average_f32, KernelId::pool_average_f16)
                              : by_storage(precision, KernelId::pool_max_f32, KernelId::pool_max_f16);
  return launch_flat(id, p, std::int64_t{p.batch} * p.out_h * p.out_w * p.pitch * element_bytes(precision) / 16);
}

Launch launch_binary(Precision precision, const BinaryParams& p) {
  return launch_flat(by_storage(precision, KernelId::binary_f32, KernelId::binary_f16), p, p.count);
}

Launch launch_affine(Precision precision, const AffineParams& p) {
  return launch_flat(by_storage(precision, KernelId::affine_f32, KernelId::affine_f16), p, p.chunks);
}

Launch launch_copy(bool in_half, bool out_half, const CopyParams& p) {
  const KernelId id =
      in_half ? (out_half ? KernelId::copy_f16 : KernelId::copy_f16_to_f32) : (out_half ? KernelId::copy_f32_to_f16 : KernelId::copy_f32);
  return launch_flat(id, p, p.count);
}

Launch launch_fill(Precision precision, const FillParams& p) {
  return launch_flat(by_storage(precision, KernelId::fill_f32, KernelId::fill_f16), p, p.count);
}

Launch launch_image_in(Precision precision, const ImageParams& p) {
  return launch_flat(by_storage(precision, KernelId::image_in_f32, KernelId::image_in_f16), p,
                     p.batch * p.pixels * p.pitch * element_bytes(precision) / 16);
}

Launch launch_image_out(Precision precision, const ImageParams& p) {
  return launch_flat(by_storage(precision, KernelId::image_out_f32, KernelId::image_out_f16), p,
                     p.batch * p.pixels * p.pitch * element_bytes(precision) / 16);
}

Launch launch_reduce(Precision precision, const ReduceParams& p) {
  constexpr std::int64_t kOutputs = 32, kSharedBytes = 8 * 32 * 4;
  return make_launch(by_storage(precision, KernelId::reduce_f32, KernelId::reduce_f16), p, {.x = (p.outputs + kOutputs - 1) / kOutputs},
                     kSharedBytes);
}

Launch launch_softmax(Precision precision, const SoftmaxParams& p) {
  return make_launch(by_storage(precision, KernelId::softmax_f32, KernelId::softmax_f16), p, {.x = (p.outer * p.inner + 3) / 4});
}

}  // namespace konv::cuda
