// Models made smaller.
#include <cmath>

#include <fmt/format.h>

#include "engine/api/model_impl.h"
#include "engine/api/runtime_impl.h"
#include "engine/compress/prune.h"
#include "engine/compress/restore.h"
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

/// The network after the default passes, which also store what QuantizeLinear rounds.
Graph folded(Graph graph) {
  passes::run(graph, passes::select("default"), {.evaluate = run::evaluate});
  return graph;
}

/// The float network behind a folded one.
Graph float_graph(const Graph& graph) { return compress::is_quantized(graph) ? folded(compress::restored(graph)) : graph; }

/// What the finished model says about itself: what `before` said, and how it was made.
void say_how_made(Graph& made, const Graph& before, const std::map<std::string, std::string>& notes) {
  made.metadata = before.metadata;
  for (const auto& [key, value] : notes) made.metadata.entries[key] = value;
  made.name = before.name;
}

}  // namespace

Model Model::quantize(const CalibrationImages& images, const QuantizeOptions& options, const Runtime& runtime, std::string* report) const {
  compress::QuantizeSettings settings;
  compress::set_types(settings.layers, "--weights", static_cast<DType>(options.weights), static_cast<DType>(options.activations));
  settings.layers.calibrator = compress::calibrator_from(options.calibrator);
  settings.layers.rounding = compress::rounding_from(options.rounding);
  compress::apply_config(settings, options.config);

  const Graph graph = float_graph(folded(impl_->graph()));
  const Graph target = options.reference ? compress::with_weights_of(graph, float_graph(folded(options.reference->impl_->graph()))) : graph;
  const bool calibrated = compress::needs_calibration(settings);
  const compress::Samples samples = calibrated ? load_images(graph, images) : compress::Samples{};
  const compress::Streams streams(calibrated ? images.count : 0, runtime.impl_->pool, api::machine_for());
  std::vector<compress::LayerReport> layers;
  Graph result = compress::quantize(graph, target, samples, streams, settings, options.progress, &layers);
  say_how_made(result, graph, options.notes);
  if (report) *report = compress::report_json(layers);
  return Model(std::make_shared<Impl>(std::move(result)));
}

Model Model::prune(const CalibrationImages& images, const PruneOptions& options, const Runtime& runtime, std::string* report) const {
  if (!(options.sparsity >= 0 && options.sparsity < 1))
    throw Error(fmt::format("--sparsity {}: expected a share from 0 up to 1", options.sparsity));
  if (options.granularity < 1) throw Error(fmt::format("--granularity {}: expected 1, 4, 8 or 16", options.granularity));
  const Graph given = folded(impl_->graph()), graph = float_graph(given);
  const Graph target = options.reference ? compress::with_weights_of(graph, float_graph(folded(options.reference->impl_->graph()))) : graph;
  const compress::Samples samples = load_images(graph, images);
  const compress::Streams streams(images.count, runtime.impl_->pool, api::machine_for());
  const bool quantized = compress::is_quantized(given);
  std::vector<compress::PrunedLayer> layers;
  const auto progress = [&](std::size_t done, std::size_t total) {
    if (options.progress) options.progress(done, quantized ? total + total / 2 : total);
  };
  Graph result = compress::prune(target, samples, streams, {options.sparsity, options.granularity, compress::prune_kind_from(options.kind)},
                                 progress, &layers);
  if (quantized) {  // back to the bits that it had
    const std::size_t before = 2 * graph.nodes().size();
    const auto rest = [&](std::size_t done, std::size_t total) {
      if (options.progress) options.progress(before + done, before + total);
    };
    const bool same_shape = options.kind != "channels";
    result = compress::quantize(result, same_shape ? compress::with_weights_of(result, target) : result, samples, streams,
                                compress::settings_of(given), rest, nullptr);
  }
  say_how_made(result, graph, options.notes);
  if (report) *report = compress::report_json(layers);
  return Model(std::make_shared<Impl>(std::move(result)));
}

}  // namespace konv
