#include "engine/run/executable.h"

#include <cstring>

#include "engine/base/aligned.h"
#include "engine/run/kernel_lookup.h"

namespace konv::run {
namespace {

std::vector<std::int64_t> numbers(const ConvShape& s) {
  return {s.batch,    s.in_channels, s.in_h,       s.in_w,    s.out_channels, s.kernel_h,   s.kernel_w,  s.stride_h,
          s.stride_w, s.dilation_h,  s.dilation_w, s.pad_top, s.pad_left,     s.pad_bottom, s.pad_right, s.groups};
}

Bytes literal_bytes(const plan::Value& value) {
  const std::shared_ptr<std::byte> bytes = aligned_bytes(value.bytes);
  for (std::size_t i = 0; i < value.ints.size(); ++i) {
    const std::int64_t v = value.ints[i];
    const auto size = static_cast<std::size_t>(bits(value.layout.dtype) / 8);
    std::memcpy(bytes.get() + i * size, &v, size);  // little-endian: the low bytes come first
  }
  return bytes;
}

}  // namespace

Bytes PackedWeights::get(const Tensor& tensor, const ConvKernel& kernel, const ConvShape& shape) {
  const std::lock_guard lock(mutex_);
  Bytes& entry = packed_[Key{tensor.bytes.get(), kernel.name, numbers(shape)}];
  if (!entry) {
    const std::shared_ptr<std::byte> bytes = aligned_bytes(static_cast<std::int64_t>(kernel.code->packed_bytes(shape)));
    kernel.code->pack(shape, tensor.f32().data(), bytes.get());
    entry = bytes;
  }
  return entry;
}

Executable::Executable(std::shared_ptr<const Graph> graph, plan::Plan plan, PackedWeights& packed)
    : graph_(std::move(graph)), plan_(std::move(plan)), literals_(plan_.values.size()), packed_(plan_.steps.size()) {
  for (std::size_t v = 0; v < plan_.values.size(); ++v) {
    if (plan_.values[v].storage == plan::Storage::literal) literals_[v] = literal_bytes(plan_.values[v]);
  }
  for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
    const plan::Step& step = plan_.steps[s];
    const auto* conv = std::get_if<plan::ConvStep>(&step.work);
    if (!conv) continue;
    const ConvKernel& kernel = find_kernel(conv_kernels(), step);
    if (!kernel.code->packed_bytes) continue;
    const ValueId weight = plan_.values[static_cast<std::size_t>(step.inputs[Conv::kWeight])].origin;
    packed_[s] = packed.get(*graph_->constant(weight), kernel, conv->shape);
  }
}

const std::byte* Executable::constant(int value) const {
  const plan::Value& v = plan_.values[static_cast<std::size_t>(value)];
  if (v.storage == plan::Storage::literal) return literals_[static_cast<std::size_t>(value)].get();
  return graph_->constant(v.origin)->bytes.get();
}

}  // namespace konv::run
