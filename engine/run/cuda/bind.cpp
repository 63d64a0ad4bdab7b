#include "engine/run/cuda/bind.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "engine/plan/cuda/image.h"
#include "engine/plan/cuda/make.h"
#include "engine/plan/memory.h"
#include "kernels/cuda/launches.h"

namespace konv::run {
namespace {

std::int32_t i32(std::int64_t n) { return static_cast<std::int32_t>(n); }

class CudaBinder {
 public:
  CudaBinder(const CudaExecutable& executable, std::size_t index, std::byte* arena, void* workspace)
      : executable_(executable),
        step_(executable.plan().steps[index]),
        constants_(executable.constants(index)),
        arena_(arena),
        workspace_(workspace),
        precision_(executable.precision()) {}

  std::vector<cuda::Call> bind() {
    if (step_.kernel != plan::kCpuStep) std::visit([&](const auto& work) { bind(work); }, step_.work);
    return std::move(calls_);
  }

 private:
  const plan::Value& value(int i) const { return executable_.plan().values[static_cast<std::size_t>(i)]; }
  const plan::Value& in_value(std::size_t i) const { return value(step_.inputs[i]); }
  const plan::Value& out_value() const { return value(step_.output); }
  bool has(std::size_t i) const { return i < step_.inputs.size() && step_.inputs[i] >= 0; }
  void* in(std::size_t i) const { return has(i) ? device_address(executable_, step_.inputs[i], arena_) : nullptr; }
  void* out() const { return device_address(executable_, step_.output, arena_); }
  void add(cuda::Launch launch) { calls_.push_back(std::move(launch)); }

  void bind_conv(const Activation& activation) {
    const cuda::ConvKernel& kernel = conv_kernel(step_);
    cuda::ConvProblem problem = conv_problem(step_, kernel);
    if (constants_.groups) problem.kept_groups = constants_.group_count;
    const cuda::ConvMemory memory{.in = in(0),
                                  .out = out(),
                                  .weight = constants_.weight,
                                  .groups = constants_.groups,
                                  .bias = constants_.bias,
                                  .residual = in(3),
                                  .workspace = workspace_,
                                  .activation = activation};
    kernel.algorithm->calls(kernel, problem, memory, calls_);
  }
  void bind(const plan::ConvStep& w) { bind_conv(w.activation); }
  void bind(const plan::GemmStep& w) { bind_conv(w.activation); }

  void bind(const plan::PoolStep& w) {
    const PoolShape& s = w.shape;
    const bool pads = s.count_include_pad;
    add(cuda::launch_pool(precision_, s.average,
                          {.in = in(0),
                           .out = out(),
                           .batch = i32(s.batch),
                           .in_h = i32(s.in_h),
                           .in_w = i32(s.in_w),
                           .pitch = i32(out_value().layout.padded_channels),
                           .channels = i32(s.channels),
                           .out_h = i32(s.out_h),
                           .out_w = i32(s.out_w),
                           .kernel_h = i32(s.kernel_h),
                           .kernel_w = i32(s.kernel_w),
                           .stride_h = i32(s.stride_h),
                           .stride_w = i32(s.stride_w),
                           .dilation_h = i32(s.dilation_h),
                           .dilation_w = i32(s.dilation_w),
                           .pad_top = i32(s.pad_top),
                           .pad_left = i32(s.pad_left),
                           .count_top = pads ? i32(s.pad_top) : 0,
                           .count_left = pads ? i32(s.pad_left) : 0,
                           .count_bottom = pads ? i32(s.pad_bottom) : 0,
                           .count_right = pads ? i32(s.pad_right) : 0}));
  }

  void add_affine(const void* residual, const Activation& activation) {
    const plan::Value& y = out_value();
    add(cuda::launch_affine(precision_, {.in = in(0),
                                         .out = out(),
                                         .chunks = y.bytes / 16,
                                         .channels = i32(plan::image_sizes(y.dims).c),
                                         .pitch = i32(y.layout.padded_channels),
                                         .scale = constants_.scale,
                                         .shift = constants_.shift,
                                         .residual = residual,
                                         .activation = activation}));
  }
  void bind(const plan::UnaryStep& w) { add_affine(nullptr, w.shape.function); }
  void bind(const plan::BatchNormStep&) { add_affine(nullptr, {}); }

  /// The whole output, for what its writers leave out.
  void fill_output(double fill) {
    const std::int64_t elements = out_value().bytes / cuda::element_bytes(precision_);
    add(cuda::launch_fill(precision_, {.out = out(), .count = elements, .value = static_cast<float>(fill)}));
  }
  bool pad_lanes() const { return plan::image_sizes(out_value().dims).c != out_value().layout.padded_channels; }

  /// Dimensions of more than one element, those that lie closest in the output last.
  static std::vector<std::size_t> walk_order(const Dims& dims, const Ints& out_strides) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (dims[i] != 1) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return std::abs(out_strides[a]) > std::abs(out_strides[b]); });
    return order;
  }

  static Ints aligned_strides(const plan::Value& v, const plan::Value& like) {
    Ints strides(like.dims.size(), 0);
    const std::size_t missing = like.dims.size() - v.dims.size();
    for (std::size_t i = 0; i < v.dims.size(); ++i) {
      if (v.dims[i] != 1) strides[missing + i] = v.strides[i];
    }
    return strides;
  }

  void bind(const plan::BinaryStep& w) {
    const plan::Value& y = out_value();
    if (step_.kernel.starts_with("affine")) return add_affine(in(1), w.activation);
    if (pad_lanes()) fill_output(0);
    const Ints a = aligned_strides(in_value(0), y), b = aligned_strides(in_value(1), y);
    cuda::BinaryParams p{};
    p.a = in(0);
    p.b = in(1);
    p.out = out();
    p.count = element_count(y.dims);
    p.kind = static_cast<std::int32_t>(w.shape.kind);
    p.activation = w.activation;
    for (const std::size_t d : walk_order(y.dims, y.strides)) {
      p.dims[p.rank] = i32(y.dims[d]);
      p.a_strides[p.rank] = a[d];
      p.b_strides[p.rank] = b[d];
      p.out_strides[p.rank++] = y.strides[d];
    }
    add(cuda::launch_binary(precision_, p));
  }

  void bind(const plan::SoftmaxStep& w) {
    if (pad_lanes()) fill_output(0);
    const std::int64_t pitch = out_value().layout.padded_channels;
    add(cuda::launch_softmax(precision_, {.in = in(0),
                                          .out = out(),
                                          .outer = w.shape.outer * w.shape.inner,
                                          .inner = 1,
                                          .size = i32(w.shape.size),
                                          .outer_stride = pitch,
                                          .inner_stride = 0,
                                          .step = 1}));
  }

  void bind(const plan::ReduceStep& w) {
    if (pad_lanes()) fill_output(0);
    const plan::Value &x = in_value(0), &y = out_value();
    const auto reduced = [&](std::size_t axis) {
      return std::find(w.axes.begin(), w.axes.end(), static_cast<std::int64_t>(axis)) != w.axes.end();
    };
    // Output strides by input dimension; the reduced ones may still be there as ones.
    Ints out_strides(x.dims.size(), 0);
    const bool kept_rank = y.dims.size() == x.dims.size();
    for (std::size_t i = 0, j = 0; i < x.dims.size(); ++i) {
      if (!reduced(i)) out_strides[i] = y.strides[kept_rank ? i : j];
      j += !reduced(i);
    }
    cuda::ReduceParams p{};
    p.in = in(0);
    p.out = out();
    p.kind = static_cast<std::int32_t>(w.shape.kind);
    p.outputs = w.shape.outputs;
    p.reduced = w.shape.reduced;
    for (const std::size_t d : walk_order(x.dims, x.strides)) {
      if (reduced(d)) {
        p.over[p.reduced_rank] = i32(x.dims[d]);
        p.in_over[p.reduced_rank++] = x.strides[d];
      } else {
        p.kept[p.kept_rank] = i32(x.dims[d]);
        p.in_kept[p.kept_rank] = x.strides[d];
        p.out_kept[p.kept_rank++] = out_strides[d];
      }
    }
    add(cuda::launch_reduce(precision_, p));
  }

  void bind(const plan::CopyStep& w) {
    if (w.fill_first) fill_output(w.fill);
    const bool half = precision_ == cuda::Precision::float16;
    for (const plan::Piece& piece : w.pieces) {
      cuda::CopyParams p{};
      p.in = static_cast<const std::byte*>(in(static_cast<std::size_t>(piece.input))) + piece.in_start * cuda::element_bytes(precision_);
      p.out = static_cast<std::byte*>(out()) + piece.out_start * cuda::element_bytes(precision_);
      p.count = element_count(piece.dims);
      for (const std::size_t d : walk_order(piece.dims, piece.out_strides)) {
        p.dims[p.rank] = i32(piece.dims[d]);
        p.in_strides[p.rank] = piece.in_strides[d];
        p.out_strides[p.rank++] = piece.out_strides[d];
      }
      add(cuda::launch_copy(half, half, p));
    }
  }

  void bind(const plan::ReorderStep& w) {
    const bool to_image = out_value().layout.format == Format::channels_last;
    const plan::Value& image = to_image ? out_value() : in_value(0);
    const cuda::ImageParams p{.in = in(0),
                              .out = out(),
                              .batch = i32(w.shape.batch),
                              .channels = i32(w.shape.channels),
                              .pitch = i32(image.layout.padded_channels),
                              .pixels = w.shape.height * w.shape.width};
    add(to_image ? cuda::launch_image_in(precision_, p) : cuda::launch_image_out(precision_, p));
  }

  template <class Work>
  void bind(const Work&) {
    throw Error("step '" + step_.name + "': has no CUDA kernel; expected a plan made for a GPU by this build");
  }

  const CudaExecutable& executable_;
  const plan::Step& step_;
  const StepConstants& constants_;
  std::byte* arena_;
  void* workspace_;
  cuda::Precision precision_;
  std::vector<cuda::Call> calls_;
};

}  // namespace

void* device_address(const CudaExecutable& executable, int value, std::byte* arena) {
  const plan::Plan& plan = executable.plan();
  const int root = plan::root(plan, value);
  const plan::Value& slot = plan.values[static_cast<std::size_t>(root)];
  if (slot.storage == plan::Storage::constant) return const_cast<void*>(executable.image(root));  // kernels only read their inputs
  return arena + slot.offset;
}

std::vector<cuda::Call> bind_cuda(const CudaExecutable& executable, std::size_t index, std::byte* arena, void* workspace) {
  return CudaBinder(executable, index, arena, workspace).bind();
}

}  // namespace konv::run
