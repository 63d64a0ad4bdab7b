#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "engine/api/device_choice.h"
#include "engine/api/model_impl.h"
#include "engine/api/prepared.h"
#include "engine/api/runtime_impl.h"
#include "engine/api/tuning.h"
#include "engine/run/cuda/device_plan.h"
#include "kernels/cpu/conv/refuse.h"
#include "kernels/cuda/predict.h"

namespace konv {

Runtime::Runtime(int threads) {
  if (threads < 0) throw Error(fmt::format("--threads {}: expected 0 (all cores) or more", threads));
  impl_ = std::make_shared<Impl>(threads);
}

int Runtime::threads() const { return impl_->pool.threads(); }

namespace {

/// Gives the pool back even when a run throws.
class Lease {
 public:
  explicit Lease(ThreadPool& pool) : pool_(pool.threads() > 1 && pool.try_acquire() ? &pool : nullptr) {}
  ~Lease() {
    if (pool_) pool_->release();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ThreadPool* get() const { return pool_; }

 private:
  ThreadPool* pool_;
};

void check_options(const SessionOptions& options) {
  if (options.tune != "off" && options.tune != "quick" && options.tune != "full")
    throw Error(fmt::format("--tune {}: expected off, quick or full", options.tune));
  if (options.memory_limit < 0) throw Error(fmt::format("--memory-limit {}: expected a number of bytes, 0 for none", options.memory_limit));
  if (!(options.max_error >= 0))
    throw Error(fmt::format("--max-error {}: expected a relative error, 0 for the default", options.max_error));
}

double share_of(std::int64_t part, std::int64_t all) {
  return part < 0 ? 1 : std::min(1.0, static_cast<double>(part) / static_cast<double>(all));
}

/// Multiply-adds that the best known algorithm needs against those of the definition: rows that pruning took away need none; F(4x4,3x3) has 36 for 144, and its
/// transforms; tile registers do more of them at a time.
double least_share(const plan::Step& step, const Machine& here) {
  if (const auto* integers = std::get_if<plan::IntegerConvStep>(&step.work))
    return share_of(integers->shape.kept_quads < 0 ? -1 : 4 * integers->shape.kept_quads, integers->shape.conv.k());
  const auto* conv = std::get_if<plan::ConvStep>(&step.work);
  if (!conv) return 1;
  const ConvShape& s = conv->shape;
  const bool winograd =
      s.kernel_h == 3 && s.kernel_w == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 && s.groups == 1;
  const auto in = static_cast<double>(s.in_channels), out = static_cast<double>(s.out_channels);
  double least = std::min(share_of(s.kept_rows, s.k()), share_of(s.nonzeros, s.weight_count()));
  if (winograd) least = std::min(least, (36 * in + 116 + 156 * in / out) / (144 * in));
  if (step.input_type == DType::float32 && !refuse_igemm_tiles(s)) least = std::min(least, here.flops / here.bf16x6_flops());
  return least;
}

/// What a step moves, in bytes.
struct Traffic {
  std::int64_t images, weights;
};

Traffic traffic(const plan::Plan& plan, const plan::Step& step) {
  Traffic moved{plan.values[static_cast<std::size_t>(step.output)].bytes, 0};
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    if (step.inputs[i] < 0) continue;
    const plan::Value& value = plan.values[static_cast<std::size_t>(step.inputs[i])];
    const bool narrow = i == Conv::kWeight && step.weight_type == DType::bfloat16;
    (value.storage == plan::Storage::constant ? moved.weights : moved.images) +=
        narrow ? storage_bytes(DType::bfloat16, element_count(value.dims)) : value.bytes;
  }
  return moved;
}

/// What a step's factors are rounded to before they are multiplied.
std::string precision_of(const plan::Step& step) {
  if (step.input_type == step.weight_type) return name(step.weight_type);
  return fmt::format("{} weights", name(step.weight_type));
}

/// The least time a step can take here: its multiply-adds at the peak, its bytes from the nearest memory that holds them; weights of a network that no cache
/// holds come from DRAM.
double limit_seconds(const plan::Step& step, const Traffic& moved, const Machine& here, int threads) {
  const auto seconds = [&](std::int64_t bytes, std::int64_t of) {
    const double bandwidth = of <= here.l2_bytes * threads ? here.l2_bandwidth
                             : of <= here.l3_bytes         ? here.l3_bandwidth
                                                           : here.dram_bandwidth;
    return static_cast<double>(bytes) / (bandwidth * threads);
  };
  const std::int64_t all = moved.images + moved.weights;
  const double moving = seconds(moved.images, all) + seconds(moved.weights, here.weights_stay() ? all : here.network_weights);
  const auto* integers = std::get_if<plan::IntegerConvStep>(&step.work);
  const double rate = integers && integers->shape.in == DType::uint8 ? api::measured_integer_rate()
                      : step.input_type == DType::bfloat16           ? here.bfloat16_flops()
                                                                     : here.flops;
  return std::max(2.0 * static_cast<double>(step.macs) * least_share(step, here) / (rate * threads), moving);
}

/// The sizes of a value of the whole batch, from those of a slice's.
Dims whole_batch(Dims dims, double batches) {
  if (batches != 1) dims[0] = std::llround(static_cast<double>(dims[0]) * batches);
  return dims;
}

std::string sizes(const std::vector<std::int64_t>& dims) { return to_string(Dims(dims)); }

}  // namespace

struct Session::Impl {
  std::shared_ptr<run::Network> network;
  std::shared_ptr<Runtime::Impl> runtime;
  SessionOptions options;
  Machine machine;
  std::optional<api::GpuChoice> gpu;  // none: the CPU
  std::string device = "cpu", isa;
  std::string description;  // of the model, where plans are looked up by it
  /// Shapes of the inputs, and the bytes of those that decide shapes.
  struct Key {
    std::vector<Dims> shapes;
    std::vector<std::vector<std::byte>> shape_values;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  std::map<Key, std::unique_ptr<Prepared>> prepared;
  Key key;  // of the current run, kept to reuse its memory
  std::vector<const void*> data;
  Prepared* last = nullptr;

  const Graph& graph() const { return network->graph(); }
  void take_inputs(std::span<const InputTensor> inputs);
  std::size_t input_index(const InputTensor& input, std::size_t position) const;
  Prepared& prepare();
};

std::size_t Session::Impl::input_index(const InputTensor& input, std::size_t position) const {
  const std::vector<ValueId>& ids = graph().inputs();
  if (input.name.empty() && position < ids.size()) return position;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (graph().value(ids[i]).name == input.name) return i;
  }
  std::string names;
  for (ValueId id : ids) names += (names.empty() ? "" : ", ") + graph().value(id).name;
  throw Error(fmt::format("input '{}': the model has no such input; expected {}", input.name, names.empty() ? "none" : names));
}

void Session::Impl::take_inputs(std::span<const InputTensor> inputs) {
  const std::vector<ValueId>& ids = graph().inputs();
  std::vector<Dims>& shapes = key.shapes;
  shapes.resize(ids.size());
  data.assign(ids.size(), nullptr);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const InputTensor& input = inputs[i];
    const std::size_t index = input_index(input, i);
    const Value& value = graph().value(ids[index]);
    if (data[index]) throw Error(fmt::format("input '{}': given twice; expected once", value.name));
    if (input.type != api::to_type(value.dtype)) {
      throw Error(fmt::format("input '{}': is {}; expected {}", value.name, type_name(input.type), name(value.dtype)));
    }
    static constexpr std::byte kNothing{};
    const bool empty = std::find(input.shape.begin(), input.shape.end(), 0) != input.shape.end();
    if (!input.data && !empty) throw Error(fmt::format("input '{}': has no data; expected a tensor of {}", value.name, sizes(input.shape)));
    shapes[index].assign(input.shape.begin(), input.shape.end());
    data[index] = empty ? &kNothing : input.data;
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!data[i])
      throw Error(fmt::format("input '{}': is missing; expected a tensor of {}", graph().value(ids[i]).name,
                              graph().value(ids[i]).shape ? to_string(*graph().value(ids[i]).shape) : "any shape"));
  }
}

Prepared& Session::Impl::prepare() {
  const std::vector<std::size_t>& deciding = network->shape_inputs();
  key.shape_values.resize(deciding.size());
  for (std::size_t i = 0; i < deciding.size(); ++i) {
    const Value& value = graph().value(graph().inputs()[deciding[i]]);
    const auto* bytes = static_cast<const std::byte*>(data[deciding[i]]);
    key.shape_values[i].assign(bytes, bytes + storage_bytes(value.dtype, element_count(key.shapes[deciding[i]])));
  }
  const auto found = prepared.find(key);
  if (found != prepared.end()) return *found->second;
  if (gpu) {
    plan::Plan plan = run::plan_for(graph(), run::by_value(graph(), key.shapes), gpu->target, *gpu->device);
    // Layers are measured as a stranger to the cache would find them.
    const int arenas = options.profile ? run::arenas_beyond_l2(plan, gpu->target.gpu) : 1;
    auto executable = std::make_shared<const run::CudaExecutable>(network->shared_graph(), std::move(plan), gpu->target.precision,
                                                                  *network->cuda_weights(*gpu->device));
    return *(prepared[key] = std::make_unique<PreparedOnCuda>(std::move(executable), arenas));
  }
  std::vector<Tensor> shape_values;
  for (std::size_t i = 0; i < deciding.size(); ++i) {
    MutableTensor tensor(graph().value(graph().inputs()[deciding[i]]).dtype, key.shapes[deciding[i]]);
    std::copy(key.shape_values[i].begin(), key.shape_values[i].end(), tensor.bytes.get());
    shape_values.push_back(tensor);
  }
  const int threads = runtime->pool.threads();
  plan::Options plan_options = api::options_on_cpu(options, threads);
  const std::int64_t images = key.shapes.empty() || key.shapes[0].empty() ? 1 : key.shapes[0][0];
  if (const std::int64_t slice = run::best_slice(*network, key.shapes, machine, plan_options); slice < images) {
    std::vector<Dims> shapes = key.shapes;
    for (Dims& dims : shapes) dims[0] = slice;
    plan_options.arenas = run::arenas_for(images, slice, threads);
    plan_options.asked_for = api::tuned_kernels(*network, description, shapes, machine, options, nullptr);
    return *(prepared[key] = std::make_unique<PreparedInSlices>(network->executable(shapes, machine, plan_options), images, threads));
  }
  plan_options.asked_for = api::tuned_kernels(*network, description, key.shapes, machine, options, &runtime->pool);
  auto made = std::make_unique<PreparedOnCpu>(network->executable(key.shapes, machine, plan_options, shape_values), threads);
  return *(prepared[key] = std::move(made));
}

Session::Session(const Model& model, const SessionOptions& options) : Session(model, Runtime(), options) {}

Session::Session(const Model& model, const Runtime& runtime, const SessionOptions& options) : impl_(std::make_unique<Impl>()) {
  impl_->network = model.impl_->network;
  impl_->gpu = api::choose_gpu_for(model.impl_->graph(), api::known_shapes(model.impl_->graph()), options);
  check_options(options);
  if (!impl_->gpu) api::options_on_cpu(options, 1);
  if (impl_->gpu && !impl_->gpu->device)
    throw Error(fmt::format("--device {}: describes a GPU for plans and predictions; expected cuda or cuda:N to run on", options.device));
  impl_->runtime = runtime.impl_;
  impl_->options = options;
  impl_->machine = api::machine_for();
  if (!options.plan_file.empty()) impl_->description = model.describe();
  impl_->isa = name(impl_->machine.isa);
  if (impl_->gpu) {
    impl_->device = impl_->gpu->device->name;
    impl_->isa = fmt::format("sm_{}", impl_->gpu->target.gpu.capability);
  }
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

void Session::run(std::span<const InputTensor> inputs) {
  Impl& s = *impl_;
  s.take_inputs(inputs);
  Prepared& p = s.prepare();
  {
    const Lease lease(s.runtime->pool);
    for (std::size_t i = 0; i < s.data.size(); ++i) p.set_input(i, s.data[i], lease.get());
    if (s.options.profile) {
      std::fill(p.seconds.begin(), p.seconds.end(), 0.0);
      p.run_timed(lease.get(), p.seconds);
    } else {
      p.run(lease.get());
    }
  }
  for (std::size_t i = 0; i < p.outputs.size(); ++i) p.get_output(i, p.outputs[i].get());
  s.last = &p;
}

std::size_t Session::output_count() const { return impl_->graph().outputs().size(); }

OutputTensor Session::output(std::size_t index) const {
  if (!impl_->last) throw Error("output: nothing has run; expected run() first");
  if (index >= output_count()) throw Error(fmt::format("output {}: the model has {}; expected a smaller index", index, output_count()));
  const plan::Plan& plan = impl_->last->plan();
  const plan::Value& value = plan.values[static_cast<std::size_t>(plan.outputs[index])];
  const Value& origin = impl_->graph().value(impl_->graph().outputs()[index]);
  return {origin.name, api::to_type(value.layout.dtype), whole_batch(value.dims, impl_->last->batches()), impl_->last->outputs[index].get(),
          static_cast<std::size_t>(impl_->last->output_bytes(index))};
}

const std::string& Session::device() const { return impl_->device; }
const std::string& Session::isa() const { return impl_->isa; }
int Session::threads() const { return impl_->runtime->pool.threads(); }

std::vector<LayerReport> Session::layers() const {
  std::vector<LayerReport> layers;
  if (!impl_->last) return layers;
  const plan::Plan& plan = impl_->last->plan();
  Machine here = impl_->gpu ? impl_->machine : api::measured_machine();
  here.network_weights = memory().weights_bytes;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const plan::Step& step = plan.steps[i];
    const plan::Value& output = plan.values[static_cast<std::size_t>(step.output)];
    const Traffic moved = traffic(plan, step);
    const double limit = step.nodes.empty() ? 0
                         : impl_->gpu
                             ? cuda::roofline_seconds(static_cast<double>(step.macs), static_cast<double>(moved.images + moved.weights),
                                                      impl_->gpu->target.gpu, impl_->gpu->target.precision)
                             : limit_seconds(step, moved, here, impl_->runtime->pool.threads());
    const double batches = impl_->last->batches();
    if (step.with_previous) {  // one report for what runs together
      LayerReport& together = layers.back();
      together.op += " + " + step.op;
      together.kernel += " + " + step.kernel;
      together.output_shape = whole_batch(output.dims, batches);
      if (precision_of(step) != "float32") together.precision = precision_of(step);
      together.macs += std::llround(static_cast<double>(step.macs) * batches);
      together.limit_seconds += limit * batches;
      continue;
    }
    layers.push_back({step.name, step.op, step.kernel, name(output.layout.dtype),
                      batches == 1 || output.dims.empty() ? output.dims : whole_batch(output.dims, batches),
                      std::llround(static_cast<double>(step.macs) * batches), impl_->last->seconds[i], limit * batches,
                      impl_->gpu ? cuda::name(impl_->gpu->target.precision) : precision_of(step)});
  }
  return layers;
}

MemoryReport Session::memory() const {
  MemoryReport report;
  const Graph& graph = impl_->graph();
  for (int v = 0; v < graph.value_count(); ++v) {
    if (const Tensor* constant = graph.constant({v}); constant && graph.reader_count({v}) > 0)
      report.weights_bytes += constant->size_bytes();
  }
  if (impl_->last) {
    const plan::Plan& plan = impl_->last->plan();
    report.arena_bytes = plan.arena_bytes * impl_->last->arenas();
    report.workspace_bytes = plan.workspace_bytes * (impl_->gpu ? 1 : impl_->runtime->pool.threads());
  }
  return report;
}

}  // namespace konv
