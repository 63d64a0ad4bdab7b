#include "engine/run/cuda/context.h"

#include <chrono>
#include <cstring>

#include "engine/plan/cuda/make.h"
#include "engine/run/cuda/bind.h"

namespace konv::run {
namespace {

constexpr std::int64_t kAlign = 64;

/// Offsets of these values behind each other; the total is the last one.
std::vector<std::int64_t> offsets_of(const plan::Plan& plan, const std::vector<int>& values, std::int64_t begin) {
  std::vector<std::int64_t> offsets;
  for (int v : values) {
    offsets.push_back(begin);
    begin += (plan.values[static_cast<std::size_t>(v)].bytes + kAlign - 1) / kAlign * kAlign;
  }
  offsets.push_back(begin);
  return offsets;
}

}  // namespace

struct CudaContext::Part {
  std::size_t first = 0, last = 0;  // steps
  std::unique_ptr<CudaGraph> graph;
  std::unique_ptr<CpuStep> cpu;
};

CudaContext::CudaContext(std::shared_ptr<const CudaExecutable> executable)
    : executable_(std::move(executable)),
      stream_(executable_->device()),
      arena_(executable_->device(), static_cast<std::size_t>(executable_->plan().arena_bytes)),
      workspace_(executable_->device(), static_cast<std::size_t>(executable_->plan().workspace_bytes)) {
  const plan::Plan& plan = executable_->plan();
  input_offsets_ = offsets_of(plan, plan.inputs, 0);
  output_offsets_ = offsets_of(plan, plan.outputs, input_offsets_.back());
  pinned_ = std::make_unique<PinnedMemory>(executable_->device(), static_cast<std::size_t>(output_offsets_.back()));
  if (executable_->calls_cublas()) executable_->device().check(executable_->device().table->gemm_open(stream_.get()), "opening cuBLAS");

  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
    calls_.push_back(bind_cuda(*executable_, s, arena_.data(), workspace_.data()));
    const bool on_cpu = plan.steps[s].kernel == plan::kCpuStep;
    if (parts_.empty() || on_cpu || parts_.back().cpu) parts_.push_back({s, s, nullptr, nullptr});
    parts_.back().last = s + 1;
    if (on_cpu) parts_.back().cpu = std::make_unique<CpuStep>(*executable_, s);
  }
  if (parts_.empty()) parts_.emplace_back();
  for (Part& part : parts_) {
    if (!part.cpu) capture(part, &part == &parts_.front(), &part == &parts_.back());
  }
}

CudaContext::~CudaContext() = default;

void* CudaContext::address(int value) const { return device_address(*executable_, value, arena_.data()); }

void CudaContext::copy_inputs() {
  const plan::Plan& plan = executable_->plan();
  for (std::size_t i = 0; i < plan.inputs.size(); ++i) {
    const auto bytes = static_cast<std::size_t>(plan.values[static_cast<std::size_t>(plan.inputs[i])].bytes);
    executable_->device().check(
        executable_->device().table->copy_to_device(stream_.get(), address(plan.inputs[i]), pinned_->data() + input_offsets_[i], bytes),
        "copying an input");
  }
}

void CudaContext::copy_outputs() {
  const plan::Plan& plan = executable_->plan();
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    const auto bytes = static_cast<std::size_t>(plan.values[static_cast<std::size_t>(plan.outputs[i])].bytes);
    executable_->device().check(
        executable_->device().table->copy_to_host(stream_.get(), pinned_->data() + output_offsets_[i], address(plan.outputs[i]), bytes),
        "copying an output");
  }
}

void CudaContext::issue(std::size_t step) {
  const CudaDevice& device = executable_->device();
  for (const cuda::Call& call : calls_[step]) {
    if (const auto* launch = std::get_if<cuda::Launch>(&call)) {
      const konv_cuda_launch l{.kernel = static_cast<std::int32_t>(launch->kernel),
                               .grid = {launch->grid[0], launch->grid[1], launch->grid[2]},
                               .threads = launch->threads,
                               .shared_bytes = static_cast<std::uint32_t>(launch->shared_bytes),
                               .params = launch->params.data(),
                               .params_bytes = launch->params.size()};
      device.check(device.table->launch(stream_.get(), &l), executable_->plan().steps[step].kernel.c_str());
    } else {
      const auto& product = std::get<cuda::MatrixProduct>(call);
      const konv_cuda_gemm g{
          static_cast<std::int32_t>(product.precision), product.m, product.n, product.k, product.a, product.b, product.out};
      device.check(device.table->gemm(stream_.get(), &g), "a product by cuBLAS");
    }
  }
}

void CudaContext::capture(Part& part, bool first, bool last) {
  const CudaDevice& device = executable_->device();
  device.check(device.table->capture_begin(stream_.get()), "beginning a graph");
  void* graph = nullptr;
  try {
    if (first) copy_inputs();
    for (std::size_t s = part.first; s < part.last; ++s) issue(s);
    if (last) copy_outputs();
  } catch (...) {
    if (device.table->capture_end(stream_.get(), &graph) == 0) device.table->graph_destroy(graph);
    throw;
  }
  device.check(device.table->capture_end(stream_.get(), &graph), "ending a graph");
  part.graph = std::make_unique<CudaGraph>(device, graph);
}

void CudaContext::set_input(std::size_t index, const void* bytes) {
  const plan::Plan& plan = executable_->plan();
  std::memcpy(pinned_->data() + input_offsets_[index], bytes,
              static_cast<std::size_t>(plan.values[static_cast<std::size_t>(plan.inputs[index])].bytes));
}

void CudaContext::get_output(std::size_t index, void* bytes) const {
  std::memcpy(bytes, pinned_->data() + output_offsets_[index], static_cast<std::size_t>(output_bytes(index)));
}

std::int64_t CudaContext::output_bytes(std::size_t index) const {
  const plan::Plan& plan = executable_->plan();
  return plan.values[static_cast<std::size_t>(plan.outputs[index])].bytes;
}

void CudaContext::run() {
  const CudaDevice& device = executable_->device();
  if (parts_.front().cpu) copy_inputs();
  for (Part& part : parts_) {
    if (part.cpu) {
      part.cpu->run(*executable_, arena_.data(), stream_.get());
    } else {
      device.check(device.table->graph_launch(part.graph->get(), stream_.get()), "running the network");
    }
  }
  if (parts_.back().cpu) copy_outputs();
  device.check(device.table->synchronize(stream_.get()), "running the network");
}

void CudaContext::run_timed(std::span<double> seconds) {
  const CudaDevice& device = executable_->device();
  while (events_.size() <= calls_.size()) events_.emplace_back(device);
  const auto record = [&](std::size_t i) {
    device.check(device.table->event_record(events_[i].get(), stream_.get()), "recording an event");
  };
  copy_inputs();
  std::vector<double> on_cpu(calls_.size());
  for (const Part& part : parts_) {
    if (part.cpu) {
      record(part.first);
      const auto begin = std::chrono::steady_clock::now();
      part.cpu->run(*executable_, arena_.data(), stream_.get());
      on_cpu[part.first] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      continue;
    }
    for (std::size_t s = part.first; s < part.last; ++s) {
      record(s);
      issue(s);
    }
  }
  record(calls_.size());
  copy_outputs();
  device.check(device.table->synchronize(stream_.get()), "running the network");
  for (std::size_t s = 0; s < calls_.size(); ++s) {
    float milliseconds = 0;
    device.check(device.table->event_milliseconds(events_[s].get(), events_[s + 1].get(), &milliseconds), "reading an event");
    seconds[s] += on_cpu[s] > 0 ? on_cpu[s] : 1e-3 * static_cast<double>(milliseconds);
  }
}

}  // namespace konv::run
