#include "engine/run/context.h"

#include <chrono>
#include <cstring>

#include "engine/base/aligned.h"
#include "engine/plan/memory.h"
#include "kernels/cpu/copy/copy.h"

namespace konv::run {
namespace {

/// Steps shorter than this are not worth handing out.
constexpr double kSerialSeconds = 3e-6;

TensorView dense_view(const plan::Value& value, const void* bytes) {
  TensorView v;
  v.data = const_cast<void*>(bytes);
  v.dtype = value.layout.dtype;
  v.rank = static_cast<int>(value.dims.size());
  std::int64_t stride = 1;
  for (int i = v.rank; i-- > 0;) {
    v.dims[i] = value.dims[static_cast<std::size_t>(i)];
    v.strides[i] = stride;
    stride *= v.dims[i];
  }
  return v;
}

/// Without a pool on this thread.
void run_jobs(ThreadPool* pool, std::span<const Job> jobs) {
  if (pool) return pool->run(jobs);
  for (const Job& job : jobs) {
    for (std::int64_t chunk = 0; chunk < job.chunks; ++chunk) job.function(chunk, 0);
  }
}

void copy(const TensorView& from, const TensorView& to, ThreadPool* pool) {
  const int bytes = bits(from.dtype) / 8;
  if (from.dense() && to.dense()) {
    std::memcpy(to.data, from.data, static_cast<std::size_t>(storage_bytes(from.dtype, from.count())));
    return;
  }
  const CopyKernel& kernel = copy_kernels().back();
  const CopyArgs args{.shape = {.count = from.count(), .element_bytes = bytes}, .in = from, .out = to};
  const auto run = [&](std::int64_t chunk, int) { kernel.code->run(args, chunk, nullptr); };
  const Job job{run, kernel.code->chunks(args.shape)};
  run_jobs(pool, {&job, 1});
}

}  // namespace

Context::Context(std::shared_ptr<const Executable> executable, int threads) : executable_(std::move(executable)) {
  const plan::Plan& plan = executable_->plan();
  arena_bytes_ = plan.arena_bytes;
  arena_ = aligned_bytes(arena_bytes_);
  workspace_stride_ = round_up(plan.workspace_bytes, plan::kAlignment);
  workspace_ = aligned_bytes(workspace_stride_ * threads);
  prepare(*executable_, arena_.get());
  calls_ = bind(*executable_, arena_.get(), threads);
  for (const BoundCall& bound : calls_) chunk_calls_.push_back({bound.call.get(), workspace_.get(), workspace_stride_});
  for (std::size_t i = 0; i < calls_.size(); ++i)
    jobs_.push_back({chunk_calls_[i], calls_[i].chunks, plan.steps[calls_[i].step].cost >= kSerialSeconds});
}

void Context::set_input(std::size_t index, const void* bytes, ThreadPool* pool) {
  const int value = executable_->plan().inputs[index];
  copy(dense_view(executable_->plan().values[static_cast<std::size_t>(value)], bytes), view(*executable_, value, arena_.get()), pool);
}

void Context::get_output(std::size_t index, void* bytes) const {
  const int value = executable_->plan().outputs[index];
  copy(view(*executable_, value, arena_.get()), dense_view(executable_->plan().values[static_cast<std::size_t>(value)], bytes), nullptr);
}

std::int64_t Context::output_bytes(std::size_t index) const {
  const plan::Value& value = executable_->plan().values[static_cast<std::size_t>(executable_->plan().outputs[index])];
  return storage_bytes(value.layout.dtype, element_count(value.dims));
}

void Context::run(ThreadPool* pool) { run_jobs(pool, jobs_); }

void Context::run_timed(ThreadPool* pool, std::span<double> seconds) {
  using Clock = std::chrono::steady_clock;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    const Clock::time_point begin = Clock::now();
    run_jobs(pool, {&jobs_[i], 1});
    seconds[calls_[i].step] += std::chrono::duration<double>(Clock::now() - begin).count();
  }
}

}  // namespace konv::run
