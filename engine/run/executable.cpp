#include "engine/run/executable.h"

#include <cstring>
#include <utility>

#include "engine/base/aligned.h"
#include "engine/graph/weights.h"
#include "engine/plan/builder.h"
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

/// Multipliers and offsets of requantize.h, rounded to float32 once.
void pack_integers(const Value& weight, const Tensor* bias, const IntegerConvKernel& kernel, const plan::IntegerConvStep& step,
                   std::byte* packed) {
  const ConvShape& shape = step.shape.conv;
  const std::vector<std::int64_t> stored = integer_weights(weight);
  const auto outputs = static_cast<std::size_t>(shape.out_channels), k = static_cast<std::size_t>(shape.k());
  std::vector<std::int16_t> integers(stored.size());
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t i = 0; i < k; ++i)
      integers[o * k + i] = static_cast<std::int16_t>(stored[step.transposed ? i * outputs + o : o * k + i]);
  }
  std::vector<float> multiplier(outputs), offset(outputs);
  const std::vector<float>& scale = weight.quantization->scale;
  for (std::size_t o = 0; o < outputs; ++o) {
    multiplier[o] = static_cast<float>(double{step.in_scale} * double{scale[scale.size() == 1 ? 0 : o]} / double{step.out_scale});
    offset[o] = bias ? static_cast<float>(double{bias->f32()[o]} / double{step.out_scale}) : 0.0f;
  }
  kernel.code->pack(step.shape, {integers.data(), multiplier.data(), offset.data(), step.in_zero}, packed);
}

}  // namespace

std::shared_ptr<std::byte> PackedWeights::room(std::size_t bytes) {
  constexpr std::size_t slab = std::size_t{1} << 21;
  if (bytes >= slab / 2) return aligned_bytes(static_cast<std::int64_t>(bytes));
  if (!slab_ || slab_used_ + bytes > slab) slab_ = aligned_bytes(slab), slab_used_ = 0;
  const std::shared_ptr<std::byte> part(slab_, slab_.get() + slab_used_);
  slab_used_ += (bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
  return part;
}

Bytes PackedWeights::get(const Value& weight, const ConvKernel& kernel, const ConvShape& shape) {
  const std::lock_guard lock(mutex_);
  Bytes& entry = packed_[Key{weight.constant->bytes.get(), kernel.name, numbers(shape)}];
  if (!entry) {
    const std::shared_ptr<std::byte> bytes = room(kernel.code->packed_bytes(shape));
    kernel.code->pack(shape, real_weights(weight).f32().data(), bytes.get());
    entry = bytes;
  }
  return entry;
}

Bytes PackedWeights::get(const Value& weight, const Tensor* bias, const IntegerConvKernel& kernel, const plan::IntegerConvStep& step,
                         NodeId node) {
  std::vector<std::int64_t> key = numbers(step.shape.conv);
  key.push_back(node.index);  // scales and bias are the node's
  const std::lock_guard lock(mutex_);
  Bytes& entry = packed_[Key{weight.constant->bytes.get(), kernel.name, key}];
  if (!entry) {
    const std::shared_ptr<std::byte> bytes = room(kernel.code->packed_bytes(step.shape));
    pack_integers(weight, bias, kernel, step, bytes.get());
    entry = bytes;
  }
  return entry;
}

Bytes PackedWeights::get_columns(const Value& weight, bool transposed) {
  if (transposed && is_bfloat16(weight) && !weight.kept_rows) return weight.constant->bytes;
  const std::lock_guard lock(mutex_);
  Bytes& entry = packed_[Key{weight.constant->bytes.get(), transposed ? "rows" : "columns", {}}];
  if (!entry) {
    const Tensor reals = real_weights(weight);
    const std::shared_ptr<std::byte> bytes = room(static_cast<std::size_t>(reals.count()) * sizeof(std::uint16_t));
    const std::int64_t rows = reals.dims[0], columns = reals.dims[1];
    TensorView b{const_cast<float*>(reals.f32().data()), DType::float32, 2, {rows, columns}, {columns, 1}};
    if (transposed) std::swap(b.dims[0], b.dims[1]), std::swap(b.strides[0], b.strides[1]);
    pack_columns(b, reinterpret_cast<std::uint16_t*>(bytes.get()));
    entry = bytes;
  }
  return entry;
}

Tensor PackedWeights::real(const Value& value) {
  const std::lock_guard lock(mutex_);
  Tensor& entry = reals_[value.constant->bytes.get()];
  if (!entry.bytes) entry = real_weights(value);
  return entry;
}

Executable::Executable(std::shared_ptr<const Graph> graph, plan::Plan plan, PackedWeights& packed)
    : graph_(std::move(graph)),
      plan_(std::move(plan)),
      literals_(plan_.values.size()),
      packed_(plan_.steps.size()),
      reals_(plan_.values.size()) {
  for (std::size_t v = 0; v < plan_.values.size(); ++v) {
    if (plan_.values[v].storage == plan::Storage::literal) literals_[v] = literal_bytes(plan_.values[v]);
  }
  const auto weight_of = [&](const plan::Step& step) -> const Value& {
    return graph_->value(plan_.values[static_cast<std::size_t>(step.inputs[Conv::kWeight])].origin);
  };
  for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
    const plan::Step& step = plan_.steps[s];
    if (const auto* conv = std::get_if<plan::IntegerConvStep>(&step.work)) {
      const int bias = step.inputs[Conv::kBias];
      packed_[s] = packed.get(weight_of(step), bias < 0 ? nullptr : graph_->constant(plan_.values[static_cast<std::size_t>(bias)].origin),
                              find_kernel(integer_conv_kernels(), step), *conv, step.nodes.front());
      continue;
    }
    if (const auto* conv = std::get_if<plan::ConvStep>(&step.work)) {
      const ConvKernel& kernel = find_kernel(conv_kernels(), step);
      if (kernel.code->packed_bytes) {
        packed_[s] = packed.get(weight_of(step), kernel, conv->shape);
        continue;
      }
    }
    if (const auto* product = std::get_if<plan::GemmStep>(&step.work); product && step.weight_type == DType::bfloat16)
      packed_[s] = packed.get_columns(weight_of(step), product->transpose_b);
    for (const int input : step.inputs) {
      if (packed_[s] && input == step.inputs[Gemm::kB]) continue;
      if (input < 0 || plan_.values[static_cast<std::size_t>(input)].storage != plan::Storage::constant) continue;
      const Value& value = graph_->value(plan_.values[static_cast<std::size_t>(input)].origin);
      if (plan::stands_for_reals(value)) reals_[static_cast<std::size_t>(input)] = packed.real(value).bytes;
    }
  }
}

const std::byte* Executable::constant(int value) const {
  const plan::Value& v = plan_.values[static_cast<std::size_t>(value)];
  if (v.storage == plan::Storage::literal) return literals_[static_cast<std::size_t>(value)].get();
  if (const Bytes& real = reals_[static_cast<std::size_t>(value)]) return real.get();
  return graph_->constant(v.origin)->bytes.get();
}

}  // namespace konv::run
