#include "engine/run/cuda/context.h"

#include <algorithm>
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

/// From arena to arena: what cudaMalloc aligns to.
std::int64_t arena_stride(const plan::Plan& plan) { return (plan.arena_bytes + 255) / 256 * 256; }

}  // namespace

int arenas_beyond_l2(const plan::Plan& plan, const cuda::Gpu& gpu) {
  return static_cast<int>(2 + 2 * gpu.l2_bytes / std::max<std::int64_t>(1, arena_stride(plan)));
}

struct CudaContext::Part {
  std::size_t first = 0, last = 0;  // steps
  std::unique_ptr<CudaGraph> graph;
  std::unique_ptr<CpuStep> cpu;
};

CudaContext::CudaContext(std::shared_ptr<const CudaExecutable> executable, int arenas)
    : executable_(std::move(executable)),
      stream_(executable_->device()),
      memory_(executable_->device(), static_cast<std::size_t>(arenas * arena_stride(executable_->plan()))),
      workspace_(executable_->device(), static_cast<std::size_t>(executable_->plan().workspace_bytes)) {
  const plan::Plan& plan = executable_->plan();
  input_offsets_ = offsets_of(plan, plan.inputs, 0);
  output_offsets_ = offsets_of(plan, plan.outputs, input_offsets_.back());
  pinned_ = std::make_unique<PinnedMemory>(executable_->device(), static_cast<std::size_t>(output_offsets_.back()));
  for (int i = 0; i < arenas; ++i) bind(arenas_.emplace_back(Arena{memory_.data() + i * arena_stride(plan), {}}));
  // The library loads a kernel when it is first called, which is not to happen in a capture. What this computes is overwritten.
  for (const std::vector<Work>& works : arenas_[0].steps) {
    for (const Work& work : works) {
      if (const auto* product = std::get_if<CudaProduct>(&work)) product->run();
    }
  }
  for (std::size_t s = 0; s < plan.steps.size(); ++s) {
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

void CudaContext::bind(Arena& arena) {
  for (std::size_t s = 0; s < executable_->plan().steps.size(); ++s) {
    std::vector<Work>& works = arena.steps.emplace_back();
    for (cuda::Call& call : bind_cuda(*executable_, s, arena.begin, workspace_.data())) {
      if (auto* launch = std::get_if<cuda::Launch>(&call)) {
        works.emplace_back(std::move(*launch));
        continue;
      }
      const auto& p = std::get<cuda::MatrixProduct>(call);
      const konv_cuda_product product{.precision = static_cast<std::int32_t>(p.precision),
                                      .m = p.m,
                                      .n = p.n,
                                      .k = p.k,
                                      .a = p.a,
                                      .b = p.b,
                                      .bias = p.bias,
                                      .residual = p.residual,
                                      .relu = p.relu,
                                      .out = p.out};
      works.emplace_back(CudaProduct(executable_->device(), stream_.get(), product));
    }
  }
}

void CudaContext::copy_inputs(const Arena& arena) {
  const plan::Plan& plan = executable_->plan();
  for (std::size_t i = 0; i < plan.inputs.size(); ++i) {
    const auto bytes = static_cast<std::size_t>(plan.values[static_cast<std::size_t>(plan.inputs[i])].bytes);
    executable_->device().check(
        executable_->device().table->copy_to_device(stream_.get(), device_address(*executable_, plan.inputs[i], arena.begin),
                                                    pinned_->data() + input_offsets_[i], bytes),
        "copying an input");
  }
}

void CudaContext::copy_outputs(const Arena& arena) {
  const plan::Plan& plan = executable_->plan();
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    const auto bytes = static_cast<std::size_t>(plan.values[static_cast<std::size_t>(plan.outputs[i])].bytes);
    executable_->device().check(
        executable_->device().table->copy_to_host(stream_.get(), pinned_->data() + output_offsets_[i],
                                                  device_address(*executable_, plan.outputs[i], arena.begin), bytes),
        "copying an output");
  }
}

void CudaContext::issue(const Arena& arena, std::size_t step) {
  const CudaDevice& device = executable_->device();
  for (const Work& work : arena.steps[step]) {
    if (const auto* launch = std::get_if<cuda::Launch>(&work)) {
      const konv_cuda_launch l{.kernel = static_cast<std::int32_t>(launch->kernel),
                               .grid = {launch->grid[0], launch->grid[1], launch->grid[2]},
                               .threads = launch->threads,
                               .shared_bytes = static_cast<std::uint32_t>(launch->shared_bytes),
                               .params = launch->params.data(),
                               .params_bytes = launch->params.size()};
      device.check(device.table->launch(stream_.get(), &l), executable_->plan().steps[step].kernel.c_str());
    } else {
      std::get<CudaProduct>(work).run();
    }
  }
}

void CudaContext::capture(Part& part, bool first, bool last) {
  const CudaDevice& device = executable_->device();
  device.check(device.table->capture_begin(stream_.get()), "beginning a graph");
  void* graph = nullptr;
  try {
    if (first) copy_inputs(arenas_[0]);
    for (std::size_t s = part.first; s < part.last; ++s) issue(arenas_[0], s);
    if (last) copy_outputs(arenas_[0]);
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
  if (parts_.front().cpu) copy_inputs(arenas_[0]);
  for (Part& part : parts_) {
    if (part.cpu) {
      part.cpu->run(*executable_, arenas_[0].begin, stream_.get());
    } else {
      device.check(device.table->graph_launch(part.graph->get(), stream_.get()), "running the network");
    }
  }
  if (parts_.back().cpu) copy_outputs(arenas_[0]);
  device.check(device.table->synchronize(stream_.get()), "running the network");
}

void CudaContext::run_timed(std::span<double> seconds) {
  const CudaDevice& device = executable_->device();
  const Arena& arena = arenas_[turn_++ % arenas_.size()];
  const std::size_t steps = executable_->plan().steps.size();
  while (events_.size() <= steps) events_.emplace_back(device);
  const auto record = [&](std::size_t i) {
    device.check(device.table->event_record(events_[i].get(), stream_.get()), "recording an event");
  };
  copy_inputs(arena);
  std::vector<double> on_cpu(steps);
  for (const Part& part : parts_) {
    if (part.cpu) {
      record(part.first);
      const auto begin = std::chrono::steady_clock::now();
      part.cpu->run(*executable_, arena.begin, stream_.get());
      on_cpu[part.first] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      continue;
    }
    for (std::size_t s = part.first; s < part.last; ++s) {
      record(s);
      issue(arena, s);
    }
  }
  record(steps);
  copy_outputs(arena);
  device.check(device.table->synchronize(stream_.get()), "running the network");
  for (std::size_t s = 0; s < steps; ++s) {
    float milliseconds = 0;
    device.check(device.table->event_milliseconds(events_[s].get(), events_[s + 1].get(), &milliseconds), "reading an event");
    seconds[s] += on_cpu[s] > 0 ? on_cpu[s] : 1e-3 * static_cast<double>(milliseconds);
  }
}

}  // namespace konv::run
