// Models made smaller.
#include <cmath>

#include <fmt/format.h>

#include "engine/api/model_impl.h"
#include "engine/api/runtime_impl.h"
#include "engine/compress/prune.h"
#include "engine/compress/settings.h"
#include "engine/compress/streams.h"

namespace konv {
namespace {

/// The images as the model's first input, all in memory.
compress::Samples load_images(const Graph& graph, const CalibrationImages& images) {
  if (images.count < 1) throw Error("calibration: there are no images; expected at least one");
  if (graph.inputs().size() != 1)
    throw Error(fmt::format("the model has {} inputs; expected one to calibrate with", graph.inputs().size()));
  const Value& input = graph.value(graph.inputs().front());
  if (input.dtype != DType::float32)
    throw Error(fmt::format("input '{}': is {}; expected float32 to calibrate with", input.name, name(input.dtype)));
  Dims dims = api::smallest_shapes(graph).front();
  if (dims.empty()) throw Error(fmt::format("input '{}': is a scalar; expected images", input.name));
  for (std::size_t i = 1; i < dims.size(); ++i) {
    if (!(*input.shape)[i].known())
      throw Error(fmt::format("input '{}': its shape {} leaves sizes open; expected a model converted with --input-shape", input.name,
                              to_string(*input.shape)));
  }
  dims.erase(dims.begin());
  compress::Samples samples = compress::make_samples(DType::float32, dims, images.count);
  for (std::int64_t i = 0; i < images.count; ++i) {
    images.load(i, samples.f32(i));
    for (std::int64_t j = 0; j < samples.elements(); ++j) {
      if (!std::isfinite(samples.f32(i)[j]))
        throw Error(fmt::format("calibration image {}: holds {}; expected finite numbers", i, samples.f32(i)[j]));
    }
  }
  return samples;
}

}  // namespace

Model Model::quantize(const CalibrationImages& images, const QuantizeOptions& options, const Runtime& runtime, std::string* report) const {
  compress::QuantizeSettings settings;
  settings.layers.weight_bits = compress::weight_bits_from("--weights", static_cast<DType>(options.weights));
  settings.layers.activation_bits = compress::activation_bits_from("--activations", static_cast<DType>(options.activations));
  settings.layers.calibrator = compress::calibrator_from(options.calibrator);
  settings.layers.rounding = compress::rounding_from(options.rounding);
  compress::apply_config(settings, options.config);

  const Graph graph = optimize("default").impl_->graph();
  const compress::Samples samples = load_images(graph, images);
  const compress::Streams streams(images.count, runtime.impl_->pool, api::machine_for());
  std::vector<compress::LayerReport> layers;
  const Graph target = options.reference ? compress::with_weights_of(graph, options.reference->optimize("default").impl_->graph()) : graph;
  Graph result = compress::quantize(graph, target, samples, streams, settings, options.progress, &layers);
  result.metadata = graph.metadata;
  result.metadata.entries.insert(options.notes.begin(), options.notes.end());
  result.name = graph.name;
  if (report) *report = compress::report_json(layers);
  return Model(std::make_shared<Impl>(std::move(result)));
}

Model Model::prune(const CalibrationImages& images, const PruneOptions& options, const Runtime& runtime, std::string* report) const {
  if (!(options.sparsity >= 0 && options.sparsity < 1))
    throw Error(fmt::format("--sparsity {}: expected a share from 0 up to 1", options.sparsity));
  if (options.granularity < 1) throw Error(fmt::format("--granularity {}: expected 1, 4, 8 or 16", options.granularity));
  const Graph graph = optimize("default").impl_->graph();
  const Graph target = options.reference ? compress::with_weights_of(graph, options.reference->optimize("default").impl_->graph()) : graph;
  const compress::Samples samples = load_images(graph, images);
  const compress::Streams streams(images.count, runtime.impl_->pool, api::machine_for());
  std::vector<compress::PrunedLayer> layers;
  Graph result =
      compress::prune_k_rows(graph, target, samples, streams, {options.sparsity, options.granularity}, options.progress, &layers);
  result.metadata = graph.metadata;
  result.metadata.entries.insert(options.notes.begin(), options.notes.end());
  result.name = graph.name;
  if (report) *report = compress::report_json(layers);
  return Model(std::make_shared<Impl>(std::move(result)));
}

}  // namespace konv
