#include "engine/run/bind.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "engine/plan/memory.h"
#include "engine/plan/pipelines.h"
#include "engine/run/kernel_lookup.h"
#include "engine/run/pipeline.h"

namespace konv::run {
namespace {

template <class CodeType, class Args>
class KernelCall final : public Call {
 public:
  KernelCall(const CodeType& code, Args args) : code_(code), args_(std::move(args)) {}
  void run(std::int64_t chunk, void* workspace) const override { code_.run(args_, chunk, workspace); }

 private:
  const CodeType& code_;
  Args args_;
};

/// Several copies as one call: chunks are numbered through.
class CopyCall final : public Call {
 public:
  void add(const CopyCode& code, CopyArgs args) {
    copies_.push_back({&code, args, chunks_});
    chunks_ += code.chunks(args.shape);
  }
  std::int64_t chunks() const { return chunks_; }
  void run(std::int64_t chunk, void* workspace) const override {
    const auto after =
        std::upper_bound(copies_.begin(), copies_.end(), chunk, [](std::int64_t c, const Copy& copy) { return c < copy.first; });
    const Copy& copy = *std::prev(after);
    copy.code->run(copy.args, chunk - copy.first, workspace);
  }

 private:
  struct Copy {
    const CopyCode* code;
    CopyArgs args;
    std::int64_t first;  // chunk
  };
  std::vector<Copy> copies_;
  std::int64_t chunks_ = 0;
};

/// Images are [N, C, H, W]; a 1-D image has height 1.
TensorView as_image(TensorView v) {
  if (v.rank != 3) return v;
  v.rank = 4;
  v.dims[3] = v.dims[2];
  v.strides[3] = v.strides[2];
  v.dims[2] = 1;
  v.strides[2] = 0;
  return v;
}

/// A matrix as images of one pixel each; its rows are padded to whole blocks.
TensorView as_pixels(TensorView v, int block) {
  if (v.rank != 2) return as_image(v);
  v.rank = 4;
  v.block = block;
  v.dims[2] = v.dims[3] = 1;
  v.strides[1] = v.strides[2] = v.strides[3] = block;
  return v;
}

/// The value spread over `dims` as NumPy broadcasts: aligned at the end, zero strides where it repeats.
TensorView broadcast_to(const TensorView& v, const TensorView& like) {
  TensorView out = v;
  out.rank = like.rank;
  for (int i = 0; i < like.rank; ++i) {
    const int from = i - (like.rank - v.rank);
    out.dims[i] = like.dims[i];
    out.strides[i] = from < 0 || v.dims[from] == 1 ? 0 : v.strides[from];
  }
  return out;
}

/// A view of blocks of channels as one of rank 5, [N, C / block, H, W, block]: strided kernels need not know of blocks. Takes blocked views of whole
/// blocks, and plain ones that go with them, missing leading dimensions and broadcast channels included.
TensorView split_channels(TensorView v, int block) {
  TensorView out = v;
  out.rank = 5;
  out.block = 1;
  const auto dim = [&](int i) { return i < 4 - v.rank ? std::int64_t{1} : v.dims[i - (4 - v.rank)]; };
  const auto stride = [&](int i) { return i < 4 - v.rank ? std::int64_t{0} : v.strides[i - (4 - v.rank)]; };
  const bool repeats = dim(1) == 1;
  const std::int64_t channel_block = repeats ? 0 : v.block > 1 ? stride(1) : stride(1) * block;
  const std::int64_t lane = repeats ? 0 : v.block > 1 ? 1 : stride(1);
  const std::int64_t dims[] = {dim(0), repeats ? 1 : dim(1) / block, dim(2), dim(3), repeats ? 1 : block};
  const std::int64_t strides[] = {stride(0), channel_block, stride(2), stride(3), lane};
  std::copy(std::begin(dims), std::end(dims), out.dims);
  std::copy(std::begin(strides), std::end(strides), out.strides);
  return out;
}

/// Images as they are, anything else as one row.
TensorView as_rows(TensorView v) {
  if (v.rank == 4) return v;
  v.dims[3] = v.count();
  v.dims[0] = v.dims[1] = v.dims[2] = 1;
  v.strides[0] = v.strides[1] = v.strides[2] = 0;
  v.strides[3] = 1;
  v.rank = 4;
  return v;
}

void swap_last_two(TensorView& v) {
  std::swap(v.dims[v.rank - 1], v.dims[v.rank - 2]);
  std::swap(v.strides[v.rank - 1], v.strides[v.rank - 2]);
}

/// A dimension of size 1 put in front of dimension `at`.
void insert_dim(TensorView& v, int at) {
  for (int i = v.rank; i > at; --i) {
    v.dims[i] = v.dims[i - 1];
    v.strides[i] = v.strides[i - 1];
  }
  v.dims[at] = 1;
  v.strides[at] = 0;
  ++v.rank;
}

std::uint64_t element_bits(DType dtype, double value) {
  switch (dtype) {
    case DType::float32: return std::bit_cast<std::uint32_t>(static_cast<float>(value));
    case DType::float64: return std::bit_cast<std::uint64_t>(value);
    case DType::float16:
    case DType::bfloat16: return 0;  // ConstantOfShape of these types is refused unless zero
    default: return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
  }
}

class Binder {
 public:
  Binder(const Executable& executable, std::byte* arena, int threads) : executable_(executable), arena_(arena), threads_(threads) {}

  std::vector<BoundCall> bind_all(const std::vector<plan::Step>& steps) {
    for (index_ = 0; index_ < steps.size(); ++index_) {
      step_ = &steps[index_];
      if (step_->rows_at_once > 0) {
        bind_pipeline();
      } else {
        std::visit([&](const auto& work) { bind(work); }, step_->work);
      }
    }
    return std::move(calls_);
  }

 private:
  TensorView in(int i) const {
    const int value = i < static_cast<int>(step_->inputs.size()) ? step_->inputs[static_cast<std::size_t>(i)] : -1;
    return value < 0 ? TensorView{} : view(executable_, value, arena_);
  }
  TensorView out() const { return view(executable_, step_->output, arena_); }
  const plan::Value& out_value() const { return executable_.plan().values[static_cast<std::size_t>(step_->output)]; }

  template <class K, class Args>
  void call(std::span<const K> kernels, Args args) {
    add(*find_kernel(kernels, *step_).code, std::move(args));
  }

  /// In the chunks that suit the number of threads.
  template <class CodeType, class Args>
  void add_suited(const CodeType& code, Args args) {
    const auto& suited = threads_ == 1 ? code.alone : code.pair;
    if (threads_ <= 2 && suited.run) {
      add(suited, std::move(args));
    } else {
      add(code, std::move(args));
    }
  }

  template <class CodeType, class Args>
  void add(const CodeType& code, Args args) {
    const std::int64_t chunks = code.chunks(args.shape);
    calls_.push_back({index_, chunks, std::make_unique<KernelCall<CodeType, Args>>(code, std::move(args))});
  }

  ConvArgs conv_args(const plan::ConvStep& w) const {
    const std::byte* packed = executable_.packed(index_);
    return {.shape = w.shape,
            .in = as_image(in(Conv::kInput)),
            .out = as_image(out()),
            .weight = packed ? packed : in(Conv::kWeight).data,
            .bias = in(Conv::kBias).f32(),
            .residual = as_image(in(Conv::kResidual)),
            .activation = w.activation,
            .far_weights = step_->far_weights};
  }

  /// This step and those that run together with it; index_ is then the last one's.
  void bind_pipeline() {
    const plan::Plan& plan = executable_.plan();
    const std::size_t first = index_;
    std::vector<Stage> stages;
    std::int64_t bands = 0;
    for (;; ++index_) {
      step_ = &plan.steps[index_];
      const ConvCode& code = *find_kernel(conv_kernels(), *step_).code;
      Stage stage{code.alone.run ? &code.alone : &code, conv_args(std::get<plan::ConvStep>(step_->work))};
      const plan::Value& output = out_value();
      const bool last = output.storage != plan::Storage::band;
      if (!last) {
        stage.left = output.layout.halo.left;
        stage.right = output.layout.halo.right;
        stage.band = output.offset + output.start * 4;
        stage.band_rows = output.strides[1] / output.strides[2];
        bands = output.offset + round_up(output.bytes, plan::kAlignment);
      }
      stages.push_back(stage);
      if (last) break;
    }
    const std::int64_t out_h = stages.back().args.shape.out_h();
    auto call = std::make_unique<PipelineCall>(std::move(stages), plan.steps[first].rows_at_once,
                                               threads_ == 1 ? out_h : plan::pipeline_chunk_rows(out_h), bands);
    const std::int64_t chunks = call->chunks();
    calls_.push_back({first, chunks, std::move(call)});
  }

  void bind(const plan::ConvStep& w) {
    const ConvCode& code = *find_kernel(conv_kernels(), *step_).code;
    add_suited(code, conv_args(w));
  }

  void bind(const plan::ConvTransposeStep& w) {
    call(conv_transpose_kernels(), ConvTransposeArgs{.shape = w.shape,
                                                     .in = as_image(in(0)),
                                                     .out = as_image(out()),
                                                     .weight = in(1).f32(),
                                                     .bias = in(2).f32(),
                                                     .activation = w.activation});
  }

  /// The operands of a matrix product as [..., m, k], [..., k, n] and [..., m, n] with the same leading sizes.
  struct Matrices {
    TensorView a, b, y;
  };
  Matrices matrices() const {
    TensorView a = in(0), b = in(1), y = out();
    // MatMul's one-dimensional operands: [k] is [1, k] on the left, [k, 1] on the right, and the result loses that 1.
    const bool vector_a = a.rank == 1, vector_b = b.rank == 1;
    if (vector_a) insert_dim(a, 0);
    if (vector_b) insert_dim(b, 1);
    if (vector_b) insert_dim(y, y.rank);
    if (vector_a) insert_dim(y, y.rank - 1);
    return {a, b, y};
  }

  /// Leading dimensions broadcast.
  static void spread(TensorView& v, const TensorView& y) {
    TensorView like = y;
    like.dims[y.rank - 2] = v.dims[v.rank - 2];
    like.dims[y.rank - 1] = v.dims[v.rank - 1];
    const std::int64_t row = v.strides[v.rank - 2], column = v.strides[v.rank - 1];
    v = broadcast_to(v, like);
    v.strides[y.rank - 2] = row;
    v.strides[y.rank - 1] = column;
  }

  void bind(const plan::GemmStep& w) {
    auto [a, b, y] = matrices();
    TensorView c = in(2);
    if (w.transpose_a) swap_last_two(a);
    if (w.transpose_b) swap_last_two(b);
    spread(a, y);
    spread(b, y);
    if (c.data) c = broadcast_to(c, y);
    if (const std::byte* packed = executable_.packed(index_)) b = packed_columns(b, packed);
    call(gemm_kernels(),
         GemmArgs{.shape = w.shape, .a = a, .b = b, .c = c, .out = y, .alpha = w.alpha, .beta = w.beta, .activation = w.activation});
  }

  void bind(const plan::IntegerGemmStep& w) {
    auto [a, b, y] = matrices();
    spread(a, y);
    spread(b, y);
    call(integer_gemm_kernels(), IntegerGemmArgs{.shape = w.shape, .a = a, .b = b, .out = y, .a_zero = in(2), .b_zero = in(3)});
  }

  void bind(const plan::QuantizeStep& w) {
    call(quantize_kernels(), QuantizeArgs{.shape = w.shape, .in = in(0), .out = out(), .scale = in(1), .zero = in(2)});
  }

  void bind(const plan::ResizeStep& w) {
    ResizeArgs args{.shape = w.shape, .in = in(0), .out = out(), .axes = {}, .extrapolation = w.extrapolation};
    for (std::size_t i = 0; i < w.axes.size(); ++i) {  // the plan outlives the calls
      const plan::ResizeAxis& axis = w.axes[i];
      args.axes[i] = {axis.taps, axis.index.data(), axis.weight.empty() ? nullptr : axis.weight.data(),
                      axis.outside.empty() ? nullptr : axis.outside.data()};
    }
    call(resize_kernels(), args);
  }

  void bind(const plan::PoolStep& w) { call(pool_kernels(), PoolArgs{.shape = w.shape, .in = as_image(in(0)), .out = as_image(out())}); }

  void bind(const plan::UnaryStep& w) {
    const int block = out().block;
    call(unary_kernels(), UnaryArgs{.shape = w.shape,
                                    .in = block > 1 ? split_channels(in(0), block) : in(0),
                                    .out = block > 1 ? split_channels(out(), block) : out()});
  }

  void bind(const plan::BinaryStep& w) {
    const int block = out().block;
    const auto split = [&](const TensorView& v) { return block > 1 ? split_channels(v, block) : v; };
    const TensorView y = split(out());
    call(binary_kernels(), BinaryArgs{.shape = w.shape,
                                      .a = broadcast_to(split(in(0)), y),
                                      .b = broadcast_to(split(in(1)), y),
                                      .out = y,
                                      .activation = w.activation});
  }

  void bind(const plan::BatchNormStep& w) {
    call(batch_norm_kernels(), BatchNormArgs{.shape = w.shape,
                                             .in = in(0),
                                             .out = out(),
                                             .gamma = in(1).f32(),
                                             .beta = in(2).f32(),
                                             .mean = in(3).f32(),
                                             .variance = in(4).f32(),
                                             .epsilon = w.epsilon});
  }

  void bind(const plan::SoftmaxStep& w) { call(softmax_kernels(), SoftmaxArgs{.shape = w.shape, .in = in(0), .out = out()}); }

  void bind(const plan::ReduceStep& w) {
    TensorView x = in(0), to = out();
    if (x.block > 1) return bind_blocked_reduce(w, x, to);
    TensorView from = x;
    int kept = 0, last = 0;
    const auto reduced = [&](int axis) { return std::find(w.axes.begin(), w.axes.end(), axis) != w.axes.end(); };
    for (int pass = 0; pass < 2; ++pass) {
      for (int i = 0; i < x.rank; ++i) {
        if (reduced(i) != (pass == 1)) continue;
        from.dims[last] = x.dims[i];
        from.strides[last++] = x.strides[i];
        kept += pass == 0;
      }
    }
    // The result's kept dimensions: it may or may not still have the reduced ones, as ones.
    if (to.rank == x.rank) {
      int j = 0;
      for (int i = 0; i < x.rank; ++i) {
        if (reduced(i)) continue;
        to.dims[j] = to.dims[i];
        to.strides[j++] = to.strides[i];
      }
    }
    to.rank = kept;
    call(reduce_kernels(), ReduceArgs{.shape = w.shape, .in = from, .out = to});
  }

  /// Spatial dimensions of a blocked image.
  void bind_blocked_reduce(const plan::ReduceStep& w, const TensorView& image, TensorView to) {
    const TensorView x = split_channels(image, image.block);
    const auto order = [&](bool reduced, TensorView& v, const TensorView& from, int rank) {
      for (int i = 0; i < 5; ++i) {
        const bool is_reduced = (i == 2 || i == 3) && std::find(w.axes.begin(), w.axes.end(), i) != w.axes.end();
        if (is_reduced != reduced) continue;
        v.dims[rank] = from.dims[i];
        v.strides[rank++] = from.strides[i];
      }
      return rank;
    };
    TensorView from = x;
    const int kept = order(false, from, x, 0);
    from.rank = order(true, from, x, kept);
    // The result as an image again, ones where it was reduced.
    TensorView result = to;
    result.rank = 4;
    for (int i = 0, j = 0; i < 4; ++i) {
      const bool gone = to.rank < 4 && std::find(w.axes.begin(), w.axes.end(), i) != w.axes.end();
      result.dims[i] = gone ? 1 : to.dims[j];
      result.strides[i] = gone ? 0 : to.strides[j];
      j += !gone;
    }
    TensorView split = split_channels(result, image.block), target = split;
    target.rank = order(false, target, split, 0);
    call(reduce_kernels(), ReduceArgs{.shape = w.shape, .in = from, .out = target});
  }

  void bind(const plan::CopyStep& w) {
    const TensorView y = out();
    if (w.fill_first) {
      CopyShape shape = w.shape;
      shape.count = y.count();
      const FillKernel& fill = fill_kernels().back();
      FillArgs args{.shape = shape, .out = y.block > 1 ? split_channels(y, y.block) : y, .value = element_bits(y.dtype, w.fill)};
      calls_.push_back({index_, fill.code->chunks(shape), std::make_unique<KernelCall<FillCode, FillArgs>>(*fill.code, args)});
    }
    if (w.pieces.empty()) return;
    const CopyKernel& kernel = find_kernel(copy_kernels(), *step_);
    auto copy = std::make_unique<CopyCall>();
    for (const plan::Piece& piece : w.pieces) {
      CopyArgs args{.shape = w.shape, .in = in(piece.input), .out = y};
      args.shape.count = 1;
      place(args.in, piece.dims, piece.in_strides, piece.in_start, w.shape.element_bytes);
      place(args.out, piece.dims, piece.out_strides, piece.out_start, w.shape.element_bytes);
      for (std::int64_t d : piece.dims) args.shape.count *= d;
      copy->add(*kernel.code, args);
    }
    const std::int64_t chunks = copy->chunks();
    calls_.push_back({index_, chunks, std::move(copy)});
  }

  static void place(TensorView& v, const Dims& dims, const Ints& strides, std::int64_t start, int element_bytes) {
    v.rank = static_cast<int>(dims.size());
    std::copy(dims.begin(), dims.end(), v.dims);
    std::copy(strides.begin(), strides.end(), v.strides);
    v.data = static_cast<std::byte*>(v.data) + start * element_bytes;
  }

  void bind(const plan::GatherStep& w) {
    call(gather_kernels(), GatherArgs{.shape = w.shape, .data = in(0), .indices = in(1), .out = out()});
  }

  void bind(const plan::CastStep& w) { call(cast_kernels(), CastArgs{.shape = w.shape, .in = in(0), .out = out()}); }

  void bind(const plan::WindowStep& w) {
    call(window_kernels(), WindowArgs{.shape = w.shape,
                                      .in = in(0),
                                      .out = out(),
                                      .weight = in(1),
                                      .bias = in(2),
                                      .residual = in(3),
                                      .in_zero = in(4),
                                      .weight_zero = in(5),
                                      .activation = w.activation});
  }

  void bind(const plan::SelectStep& w) {
    const TensorView y = out();
    call(select_kernels(),
         SelectArgs{
             .shape = w.shape, .condition = broadcast_to(in(0), y), .a = broadcast_to(in(1), y), .b = broadcast_to(in(2), y), .out = y});
  }

  void bind(const plan::RangeStep& w) { call(range_kernels(), RangeArgs{.shape = w.shape, .start = in(0), .delta = in(1), .out = out()}); }

  void bind(const plan::NormalizeStep& w) {
    call(normalize_kernels(),
         NormalizeArgs{.shape = w.shape, .in = in(0), .out = out(), .gamma = in(1).f32(), .beta = in(2).f32(), .epsilon = w.epsilon});
  }

  void bind(const plan::LrnStep& w) {
    call(lrn_kernels(), LrnArgs{.shape = w.shape, .in = in(0), .out = out(), .alpha = w.alpha, .beta = w.beta, .bias = w.bias});
  }

  void bind(const plan::TopKStep& w) { call(topk_kernels(), TopKArgs{.shape = w.shape, .in = in(0), .out = out()}); }

  void bind(const plan::ReorderStep& w) {
    call(reorder_kernels(), ReorderArgs{.shape = w.shape,
                                        .in = as_image(in(0)),
                                        .out = as_image(out()),
                                        .fill = element_bits(out_value().layout.dtype, out_value().layout.fill)});
  }

  void bind(const plan::HaloStep& w) {
    const Halo& h = out_value().layout.halo;
    call(halo_kernels(), HaloArgs{.shape = w.shape,
                                  .out = out(),
                                  .top = h.top,
                                  .left = h.left,
                                  .bottom = h.bottom,
                                  .right = h.right,
                                  .fill = element_bits(out_value().layout.dtype, out_value().layout.fill)});
  }

  void bind(const plan::IntegerConvStep& w) {
    const IntegerConvCode& code = *find_kernel(integer_conv_kernels(), *step_).code;
    add_suited(code, IntegerConvArgs{.shape = w.shape,
                                     .in = as_pixels(in(Conv::kInput), code.in_block),
                                     .out = as_pixels(out(), code.out_block),
                                     .weight = executable_.packed(index_),
                                     .residual = as_pixels(in(Conv::kResidual), code.out_block),
                                     .output = w.output});
  }

  void bind(const plan::RequantizeStep& w) {
    call(requantize_kernels(), RequantizeArgs{.shape = w.shape,
                                              .in = as_rows(in(0)),
                                              .out = as_rows(out()),
                                              .divisor = w.divisor,
                                              .multiplier = w.multiplier,
                                              .in_zero = w.in_zero,
                                              .output = w.output});
  }

  void bind(const plan::IntegerAddStep& w) {
    call(integer_add_kernels(), IntegerAddArgs{.shape = w.shape,
                                               .a = as_rows(in(0)),
                                               .b = as_rows(in(1)),
                                               .out = as_rows(out()),
                                               .multiplier = w.multiplier,
                                               .zero = w.zero,
                                               .output = w.output});
  }

  void bind(const plan::IntegerPoolStep& w) {
    TensorView y = out();
    if (y.rank == 2) y.strides[2] = y.strides[3] = 0;  // the mean of an image without its pixels' dimensions
    call(integer_pool_kernels(), IntegerPoolArgs{.shape = w.shape,
                                                 .in = as_image(in(0)),
                                                 .out = as_image(y),
                                                 .multiplier = w.multiplier,
                                                 .in_zero = w.in_zero,
                                                 .output = w.output});
  }

  const Executable& executable_;
  std::byte* arena_;
  int threads_;
  std::size_t index_ = 0;
  const plan::Step* step_ = nullptr;
  std::vector<BoundCall> calls_;
};

}  // namespace

TensorView view(const Executable& executable, int index, std::byte* arena) {
  const plan::Plan& plan = executable.plan();
  const plan::Value& value = plan.values[static_cast<std::size_t>(index)];
  TensorView v;
  v.dtype = value.layout.dtype;
  v.rank = static_cast<int>(value.dims.size());
  v.block = value.layout.block;
  std::copy(value.dims.begin(), value.dims.end(), v.dims);
  std::copy(value.strides.begin(), value.strides.end(), v.strides);
  if (value.storage == plan::Storage::constant || value.storage == plan::Storage::literal) {
    v.data = const_cast<std::byte*>(executable.constant(index));  // kernels only read their inputs
    return v;
  }
  if (value.storage == plan::Storage::band) return v;  // in a thread's workspace: the pipeline knows
  int slot = index;
  while (plan.values[static_cast<std::size_t>(slot)].storage == plan::Storage::view)
    slot = plan.values[static_cast<std::size_t>(slot)].parent;
  v.data = arena + plan.values[static_cast<std::size_t>(slot)].offset + value.start * bits(v.dtype) / 8;
  return v;
}

void prepare(const Executable& executable, std::byte* arena) {
  for (const BoundCall& bound : Binder(executable, arena, 1).bind_all(executable.plan().once)) {
    for (std::int64_t chunk = 0; chunk < bound.chunks; ++chunk) bound.call->run(chunk, nullptr);
  }
}

std::vector<BoundCall> bind(const Executable& executable, std::byte* arena, int threads) {
  return Binder(executable, arena, threads).bind_all(executable.plan().steps);
}

}  // namespace konv::run
