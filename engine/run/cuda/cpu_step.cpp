#include "engine/run/cuda/cpu_step.h"

#include "engine/run/cuda/bind.h"
#include "engine/run/cuda/image_bytes.h"

namespace konv::run {

CpuStep::CpuStep(const CudaExecutable& executable, std::size_t index) : index_(index) {
  const plan::Step& step = executable.plan().steps[index];
  const Graph& whole = executable.graph();
  const Node& node = whole.node(step.nodes.front());
  Graph part;
  std::vector<ValueId> inputs;
  std::vector<Dims> shapes;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    const int value = step.inputs[i];
    if (value >= 0) {
      const plan::Value& v = executable.plan().values[static_cast<std::size_t>(value)];
      inputs.push_back(part.add_input(whole.value(id).name, DType::float32, to_shape(v.dims)));
      inputs_.push_back(value);
      shapes.push_back(v.dims);
    } else if (const Tensor* constant = whole.constant(id)) {
      const ValueId copy = part.add_constant(whole.value(id).name, *constant);
      part.value(copy).kept_rows = whole.value(id).kept_rows;
      inputs.push_back(copy);
    } else if (id) {
      throw Error(label(node) + ": input '" + whole.value(id).name + "' is no constant of the model; expected one for --fallback cpu");
    } else {
      inputs.push_back({});
    }
  }
  part.add_output(part.add(node.name, node.op, std::move(inputs)));
  verify(part);
  network_ = std::make_unique<Network>(std::move(part));
  const IsaChoice isa = choose_isa();
  context_ = std::make_unique<Context>(network_->executable(shapes, Machine::typical(isa.isa), {}), 1);
}

void CpuStep::run(const CudaExecutable& executable, std::byte* arena, void* stream) {
  const konv_cuda_table& table = *executable.device().table;
  const auto value = [&](int v) -> const plan::Value& { return executable.plan().values[static_cast<std::size_t>(v)]; };
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const plan::Value& v = value(inputs_[i]);
    bytes_.resize(static_cast<std::size_t>(v.bytes));
    executable.device().check(table.copy_to_host(stream, bytes_.data(), device_address(executable, inputs_[i], arena), bytes_.size()),
                              "fetching a value");
    executable.device().check(table.synchronize(stream), "fetching a value");
    context_->set_input(i, from_device_bytes(v, bytes_).data());
  }
  context_->run(nullptr);
  const int output = executable.plan().steps[index_].output;
  std::vector<float> elements(static_cast<std::size_t>(context_->output_bytes(0)) / sizeof(float));
  context_->get_output(0, elements.data());
  const std::vector<std::byte> sent = to_device_bytes(value(output), elements);
  executable.device().check(table.copy_to_device(stream, device_address(executable, output, arena), sent.data(), sent.size()),
                            "sending a value");
  executable.device().check(table.synchronize(stream), "sending a value");
}

}  // namespace konv::run
