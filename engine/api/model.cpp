#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "engine/api/model_impl.h"
#include "engine/base/aligned.h"
#include "engine/format/format.h"
#include "kernels/cpu/probe/probe.h"

namespace konv {
namespace api {

Machine machine_for(const std::string& isa) {
  if (!isa.empty()) {
    const std::optional<Isa> named = isa_from_name(isa);
    if (!named) throw Error("--isa " + isa + ": is no instruction set; expected " + kIsaNames);
    return Machine::typical(*named);
  }
  const IsaChoice choice = choose_isa();
  if (choice.error) throw Error(choice.error);
  return Machine::here(choice.isa);
}

const Machine& measured_machine() {
  static const Machine machine = [] {
    const Machine here = machine_for();
    return measured(here, aligned_bytes(probe_bytes(here)).get());
  }();
  return machine;
}

double measured_integer_rate() {
  static const double rate = konv::measured_integer_rate(machine_for().isa);
  return rate;
}

std::vector<Dims> smallest_shapes(const Graph& graph) {
  std::vector<Dims> shapes;
  for (ValueId input : graph.inputs()) {
    const std::optional<Shape>& shape = graph.value(input).shape;
    if (!shape) throw Error("input '" + graph.value(input).name + "': has no shape; expected one to be given");
    Dims dims;
    for (const Dim& dim : *shape) dims.push_back(dim.known() ? dim.value() : 1);
    shapes.push_back(std::move(dims));
  }
  return shapes;
}

std::vector<Dims> known_shapes(const Graph& graph) {
  const bool known =
      std::all_of(graph.inputs().begin(), graph.inputs().end(), [&](ValueId id) { return graph.value(id).shape.has_value(); });
  return known ? smallest_shapes(graph) : std::vector<Dims>(graph.inputs().size());
}

TensorInfo info_of(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  TensorInfo info{value.name, to_type(value.dtype), {}};
  if (value.shape) {
    for (const Dim& dim : *value.shape) info.shape.push_back(dim.known() ? dim.value() : -1);
  }
  return info;
}

}  // namespace api

const char* version() { return KONV_VERSION; }

const char* type_name(Type type) { return name(static_cast<DType>(type)); }

Model Model::load(const std::string& path) { return Model(std::make_shared<Impl>(format::load(path))); }

Model Model::from_bytes(std::span<const std::byte> bytes, const std::string& name) {
  const std::shared_ptr<std::byte> copy = aligned_bytes(static_cast<std::int64_t>(bytes.size()));
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  return Model(std::make_shared<Impl>(format::load(copy, bytes.size(), name)));
}

void Model::save(const std::string& path) const { format::save(impl_->graph(), path); }

std::vector<std::byte> Model::to_bytes() const { return format::serialize(impl_->graph()); }

std::vector<TensorInfo> Model::inputs() const {
  std::vector<TensorInfo> infos;
  for (ValueId id : impl_->graph().inputs()) infos.push_back(api::info_of(impl_->graph(), id));
  return infos;
}

std::vector<TensorInfo> Model::outputs() const {
  std::vector<TensorInfo> infos;
  for (ValueId id : impl_->graph().outputs()) infos.push_back(api::info_of(impl_->graph(), id));
  return infos;
}

const std::vector<std::string>& Model::labels() const { return impl_->graph().metadata.labels; }

const std::vector<std::string>& Model::applied_passes() const { return impl_->graph().metadata.passes; }

std::unique_ptr<PreprocessingInfo> Model::preprocessing() const {
  const std::optional<Preprocessing>& p = impl_->graph().metadata.preprocessing;
  if (!p) return nullptr;
  return std::make_unique<PreprocessingInfo>(PreprocessingInfo{p->width, p->height, p->scale, p->mean, p->std, p->bgr});
}

void Model::preprocess(const std::uint8_t* rgb, int width, int height, float* out) const {
  const Graph& graph = impl_->graph();
  if (graph.inputs().empty()) throw Error("the model has no inputs; expected one that takes an image");
  const TensorInfo input = api::info_of(graph, graph.inputs().front());
  if (input.type != Type::float32 || input.shape.size() != 4 || (input.shape[1] != 3 && input.shape[1] != -1)) {
    throw Error("input '" + input.name + "': takes no RGB image; expected float32 [N, 3, height, width]");
  }
  const Preprocessing p = graph.metadata.preprocessing.value_or(Preprocessing{});
  const std::int64_t wanted_h = input.shape[2] >= 0 ? input.shape[2] : p.height > 0 ? p.height : height;
  const std::int64_t wanted_w = input.shape[3] >= 0 ? input.shape[3] : p.width > 0 ? p.width : width;
  if (width != wanted_w || height != wanted_h)
    throw Error(fmt::format("image is {}x{}; expected {}x{} (width x height)", width, height, wanted_w, wanted_h));
  const std::int64_t pixels = std::int64_t{width} * height;
  for (std::int64_t c = 0; c < 3; ++c) {
    const auto at = static_cast<std::size_t>(c);
    const float mean = at < p.mean.size() ? p.mean[at] : 0.0f;
    const float std = at < p.std.size() ? p.std[at] : 1.0f;
    const std::uint8_t* from = rgb + (p.bgr ? 2 - c : c);
    float* to = out + c * pixels;
    for (std::int64_t i = 0; i < pixels; ++i) to[i] = (static_cast<float>(from[3 * i]) * p.scale - mean) / std;
  }
}

Model Model::optimize(std::string_view list, std::vector<PassReport>* reports) const {
  Graph graph = impl_->graph();
  const std::vector<const passes::Pass*> selected = passes::select(list);
  for (passes::Report& report : passes::run(graph, selected, {.evaluate = run::evaluate})) {
    if (reports) reports->push_back({std::move(report.pass), std::move(report.fired), std::move(report.refused)});
  }
  return Model(std::make_shared<Impl>(std::move(graph)));
}

std::vector<PassInfo> Model::passes() {
  std::vector<PassInfo> infos;
  for (const passes::Pass& pass : passes::pipeline()) infos.push_back({pass.name, pass.summary, pass.place});
  return infos;
}

std::vector<std::string> Model::pending_passes() const {
  std::vector<PassReport> reports;
  optimize("default", &reports);
  std::vector<std::string> pending;
  for (const PassReport& report : reports) {
    if (!report.fired.empty()) pending.push_back(report.pass);
  }
  return pending;
}

Model Model::with_outputs(const std::vector<std::string>& values) const {
  Graph graph = impl_->graph();
  std::vector<ValueId> outputs;
  for (const std::string& name : values) {
    const std::optional<ValueId> id = graph.find_value(name);
    if (!id) throw Error("value '" + name + "': is not in the graph; expected the name of a value");
    const bool quantized = graph.value(*id).quantization.has_value() && !graph.value(*id).constant;
    outputs.push_back(quantized ? graph.add(name + ".real", Identity{}, {*id}) : *id);
  }
  graph.set_outputs(std::move(outputs));
  verify(graph);
  return Model(std::make_shared<Impl>(std::move(graph)));
}

Model Model::with_metadata(std::vector<std::string> labels, const PreprocessingInfo* p) const {
  Graph graph = impl_->graph();
  graph.metadata.labels = std::move(labels);
  graph.metadata.preprocessing.reset();
  if (p) graph.metadata.preprocessing = Preprocessing{p->width, p->height, p->scale, p->mean, p->std, p->bgr};
  return Model(std::make_shared<Impl>(std::move(graph)));
}

std::int64_t Model::weights_bytes() const {
  const Graph& graph = impl_->graph();
  std::int64_t bytes = 0;
  for (int v = 0; v < graph.value_count(); ++v) {
    if (const Tensor* constant = graph.constant({v}); constant && graph.reader_count({v}) > 0) bytes += constant->size_bytes();
  }
  return bytes;
}

}  // namespace konv
