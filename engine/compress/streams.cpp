#include "engine/compress/streams.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/aligned.h"
#include "engine/run/context.h"
#include "engine/run/network.h"

namespace konv::compress {
namespace {

/// Images that run together: fixed, so that results depend on nothing else.
constexpr std::int64_t kBatch = 16;

class Extraction {
 public:
  Extraction(const Graph& graph, std::vector<ValueId>& activations) : graph_(graph), activations_(activations) {}

  Graph extract(NodeId id) {
    copy_node(id);
    alone_.add_output(copies_.at(graph_.node(id).output()));
    alone_.metadata = {};
    verify(alone_);
    return std::move(alone_);
  }

 private:
  void copy_node(NodeId id) {
    const Node& node = graph_.node(id);
    std::vector<ValueId> inputs;
    for (const ValueId input : node.inputs) inputs.push_back(input ? copy_value(input) : ValueId{});
    const Value& output = graph_.value(node.output());
    const ValueId copy = alone_.add(node.name, node.op, std::move(inputs));
    alone_.value(copy).dtype = output.dtype;
    alone_.value(copy).quantization = output.quantization;
    copies_[node.output()] = copy;
  }

  ValueId copy_value(ValueId id) {
    const auto found = copies_.find(id);
    if (found != copies_.end()) return found->second;
    const Value& value = graph_.value(id);
    if (!value.constant && !is_activation(graph_, id)) {
      copy_node(graph_.producer(id));
      return copies_.at(id);
    }
    ValueId copy;
    if (value.constant) {
      copy = alone_.add_constant(value.name, *value.constant);
    } else {
      Shape shape = *value.shape;
      shape.front() = Dim::symbol("images");
      copy = alone_.add_input(value.name, value.dtype, shape);
      activations_.push_back(id);
    }
    alone_.value(copy).quantization = value.quantization;
    alone_.value(copy).kept_rows = value.kept_rows;
    return copies_[id] = copy;
  }

  const Graph& graph_;
  std::vector<ValueId>& activations_;
  Graph alone_;
  std::map<ValueId, ValueId> copies_;
};

/// Activations of 2 and 4 bits take a byte.
DType stored_type(DType type) { return bits(type) < 8 ? DType::uint8 : type; }

}  // namespace

const std::byte* Samples::at(std::int64_t image) const { return bytes.get() + image * storage_bytes(dtype, elements()); }

Samples make_samples(DType dtype, Dims dims, std::int64_t images) {
  Samples made{stored_type(dtype), std::move(dims), nullptr, images};
  made.bytes = aligned_bytes(images * storage_bytes(made.dtype, made.elements()));
  return made;
}

void to_reals(const Samples& a, const Quantization* q, std::int64_t image, float* out) { to_reals(a, q, image, 0, a.elements(), out); }

void to_reals(const Samples& a, const Quantization* q, std::int64_t image, std::int64_t first, std::int64_t count, float* out) {
  if (!q) {
    std::copy_n(a.f32(image) + first, count, out);
    return;
  }
  const float scale = q->scale.front();
  const std::int32_t zero = q->zero_point.front();
  const auto from = [&](const auto* integers) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(static_cast<std::int32_t>(integers[first + i]) - zero) * scale;
  };
  if (a.dtype == DType::int16) {
    from(reinterpret_cast<const std::int16_t*>(a.at(image)));
  } else {
    from(reinterpret_cast<const std::uint8_t*>(a.at(image)));
  }
}

bool is_activation(const Graph& graph, ValueId id) {
  const Value& value = graph.value(id);
  return !value.constant && (is_float(value.dtype) || value.quantization.has_value());
}

Graph alone(const Graph& graph, NodeId id, std::vector<ValueId>& activations) { return Extraction(graph, activations).extract(id); }

Samples Streams::run(const Graph& graph, NodeId id, const std::map<ValueId, const Samples*>& inputs) const {
  std::vector<ValueId> activations;
  const Graph single = alone(graph, id, activations);
  run::Network network(single);
  Samples result;
  std::unique_ptr<run::Context> context;
  for (std::int64_t first = 0; first < images_; first += kBatch) {
    const std::int64_t batch = std::min(kBatch, images_ - first);
    if (first == 0 || batch < kBatch) {
      std::vector<Dims> shapes;
      for (const ValueId value : activations) {
        Dims dims = inputs.at(value)->dims;
        dims.insert(dims.begin(), batch);
        shapes.push_back(std::move(dims));
      }
      context = std::make_unique<run::Context>(network.executable(shapes, machine_, {}), pool_.threads());
      const plan::Plan& plan = context->executable().plan();
      const plan::Value& output = plan.values[static_cast<std::size_t>(plan.outputs.front())];
      if (output.dims.empty() || output.dims.front() != batch)
        throw Error(fmt::format("{}: its output is {} for {} images; expected them one after the other", label(graph.node(id)),
                                to_string(output.dims), batch));
      if (first == 0) result = make_samples(output.layout.dtype, Dims(output.dims.begin() + 1, output.dims.end()), images_);
    }
    for (std::size_t i = 0; i < activations.size(); ++i) context->set_input(i, inputs.at(activations[i])->at(first));
    context->run(&pool_);
    context->get_output(0, result.bytes.get() + first * storage_bytes(result.dtype, result.elements()));
  }
  return result;
}

}  // namespace konv::compress
