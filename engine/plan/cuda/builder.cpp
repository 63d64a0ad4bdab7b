#include "engine/plan/cuda/builder.h"

#include <algorithm>

#include <konv/error.hpp>

#include "engine/plan/memory.h"
#include "kernels/cuda/launches.h"

namespace konv::plan {

CudaBuilder::CudaBuilder(const Graph& g, std::vector<Fact> facts, const CudaTarget& t)
    : graph(g), target(t), facts_(std::move(facts)), dims_(facts_.size()), images_(facts_.size(), -1), plain_(facts_.size(), -1) {
  for (std::size_t v = 0; v < facts_.size(); ++v) {
    if (facts_[v].shape && fully_known(*facts_[v].shape)) dims_[v] = to_dims(*facts_[v].shape);
  }
  plan_.device = target.device;
}

bool CudaBuilder::is_literal(ValueId id) const {
  const Fact& fact = facts_[static_cast<std::size_t>(id.index)];
  return fact.ints && fact.shape && fully_known(*fact.shape) &&
         std::all_of(fact.ints->begin(), fact.ints->end(), [](const Dim& d) { return d.known(); });
}

Ints CudaBuilder::ints(ValueId id) const {
  if (!is_literal(id)) throw NoKernel{"'" + graph.value(id).name + "' is known only when the network runs"};
  Ints values;
  for (const Dim& d : *facts_[static_cast<std::size_t>(id.index)].ints) values.push_back(d.value());
  return values;
}

int CudaBuilder::new_value(Value value) {
  plan_.values.push_back(std::move(value));
  return static_cast<int>(plan_.values.size()) - 1;
}

Value CudaBuilder::image_value(const std::string& name, const Dims& d) const {
  Value v;
  v.name = name;
  v.dims = d;
  v.layout = {.format = Format::channels_last, .dtype = cuda::storage(target.precision), .padded_channels = pitch(d)};
  v.strides = image_strides(d, v.layout.padded_channels);
  const ImageSizes s = image_sizes(d);
  v.bytes = s.n * s.pixels() * v.layout.padded_channels * element_bytes();
  return v;
}

void CudaBuilder::define_input(ValueId id) {
  Value v;
  v.name = graph.value(id).name;
  v.origin = id;
  v.dims = dims(id);
  v.layout.dtype = dtype(id);
  v.strides = dense_strides(v.dims);
  v.bytes = storage_bytes(v.layout.dtype, element_count(v.dims));
  const int index = new_value(std::move(v));
  plain_[static_cast<std::size_t>(id.index)] = index;
  plan_.inputs.push_back(index);
}

int CudaBuilder::plain_input(ValueId id) const {
  return id && dtype(id) == DType::float32 ? plain_[static_cast<std::size_t>(id.index)] : -1;
}

int CudaBuilder::image(ValueId id, std::size_t rank) {
  if (!id) return -1;
  if (dtype(id) != DType::float32) throw NoKernel{"'" + graph.value(id).name + "' is " + konv::name(dtype(id))};
  if (graph.value(id).quantization) throw NoKernel{"'" + graph.value(id).name + "' is quantized"};
  if (dims(id).size() > 4) throw NoKernel{"'" + graph.value(id).name + "' has " + std::to_string(dims(id).size()) + " dimensions"};
  if (graph.constant(id)) {
    Value v = image_value(graph.value(id).name, aligned_dims(dims(id), rank));
    v.origin = id;
    v.storage = Storage::constant;
    return new_value(std::move(v));
  }
  int& known = images_[static_cast<std::size_t>(id.index)];
  if (known >= 0) return known;
  const int plain = plain_input(id);
  if (plain < 0) throw NoKernel{"'" + graph.value(id).name + "' has no producer"};
  const ImageSizes s = image_sizes(dims(id));
  Value v = image_value(graph.value(id).name + ":nhwc", dims(id));
  const std::string name = v.name;
  const int to = new_value(std::move(v));
  known = to;
  const ReorderStep work{{.batch = s.n, .channels = s.c, .height = s.h, .width = s.w, .element_bytes = element_bytes()}};
  Step& step =
      add({}, work, target.precision == cuda::Precision::float16 ? "image_in_f16" : "image_in_f32", {plain}, to, traffic({plain, to}));
  step.name = name;
  step.op = "Reorder";
  return to;
}

double CudaBuilder::convert_seconds(ValueId id) const {
  if (!id || images_[static_cast<std::size_t>(id.index)] >= 0 || plain_input(id) < 0) return 0;
  const ImageSizes s = image_sizes(dims(id));
  return cuda::traffic_seconds(static_cast<double>(s.n * s.pixels() * (s.c * 4 + pitch(dims(id)) * element_bytes())), target.gpu);
}

int CudaBuilder::constant(ValueId id) {
  const Tensor* tensor = graph.constant(id);
  if (!tensor) throw NoKernel{"'" + graph.value(id).name + "' is no constant"};
  if (tensor->dtype != DType::float32) throw NoKernel{"'" + graph.value(id).name + "' is " + konv::name(tensor->dtype)};
  Value v;
  v.name = graph.value(id).name;
  v.origin = id;
  v.dims = tensor->dims;
  v.layout.dtype = tensor->dtype;
  v.strides = dense_strides(v.dims);
  v.storage = Storage::constant;
  v.bytes = tensor->size_bytes();
  return new_value(std::move(v));
}

int CudaBuilder::define(ValueId id) {
  if (dtype(id) != DType::float32) throw NoKernel{"'" + graph.value(id).name + "' is " + konv::name(dtype(id))};
  if (dims(id).size() > 4) throw NoKernel{"'" + graph.value(id).name + "' has " + std::to_string(dims(id).size()) + " dimensions"};
  Value v = image_value(graph.value(id).name, dims(id));
  v.origin = id;
  return images_[static_cast<std::size_t>(id.index)] = new_value(std::move(v));
}

void CudaBuilder::alias(ValueId output, int from) {
  const int v = define(output);
  plan_.values[static_cast<std::size_t>(v)].storage = Storage::view;
  plan_.values[static_cast<std::size_t>(v)].parent = from;
}

double CudaBuilder::traffic(const std::vector<int>& values) const {
  double bytes = 0;
  for (int v : values) bytes += v < 0 ? 0.0 : static_cast<double>(value(v).bytes);
  return cuda::traffic_seconds(bytes, target.gpu);
}

void CudaBuilder::rewind(const Mark& mark) {
  plan_.steps.resize(mark.steps);
  plan_.values.resize(mark.values);
  images_ = mark.images;
}

void CudaBuilder::add_cpu_step(NodeId id, const std::string& reason) {
  const Node& node = graph.node(id);
  std::vector<int> inputs;
  for (ValueId input : node.inputs) {
    const bool given = !input || graph.constant(input) || is_literal(input);
    inputs.push_back(given ? -1 : plain_input(input) >= 0 ? plain_input(input) : image(input));
  }
  if (node.outputs.size() != 1) throw NoKernel{"several outputs"};
  const int output = define(node.output());
  Step& step = add(id, CopyStep{}, kCpuStep, std::move(inputs), output, 0);
  step.candidates.push_back({"cuda", reason, 0});
}

Plan CudaBuilder::finish() {
  const int inputs = static_cast<int>(plan_.inputs.size());
  for (ValueId id : graph.outputs()) {
    const int plain = plain_input(id);
    if (plain >= 0 || (!is_literal(id) && dtype(id) != DType::float32)) {
      if (plain < 0 || plain >= inputs)
        throw Error("output '" + graph.value(id).name + "': is " + konv::name(dtype(id)) + "; expected float32 on a GPU");
      plan_.outputs.push_back(plain);
      continue;
    }
    if (is_literal(id) || graph.constant(id))
      throw Error("output '" + graph.value(id).name + "': is a constant; expected one that the network computes");
    const int from = image(id);
    const ImageSizes s = image_sizes(dims(id));
    Value v;
    v.name = graph.value(id).name + ":out";
    v.origin = id;
    v.dims = dims(id);
    v.strides = dense_strides(v.dims);
    v.bytes = storage_bytes(DType::float32, element_count(v.dims));
    const std::string name = v.name;
    const int to = new_value(std::move(v));
    const ReorderStep work{{.batch = s.n, .channels = s.c, .height = s.h, .width = s.w, .element_bytes = element_bytes()}};
    Step& step =
        add({}, work, target.precision == cuda::Precision::float16 ? "image_out_f16" : "image_out_f32", {from}, to, traffic({from, to}));
    step.name = name;
    step.op = "Reorder";
    plan_.outputs.push_back(to);
  }
  assign_offsets(plan_);
  for (const Step& step : plan_.steps) plan_.workspace_bytes = std::max(plan_.workspace_bytes, step.workspace);
  return std::move(plan_);
}

}  // namespace konv::plan
