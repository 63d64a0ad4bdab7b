#include "engine/compress/prune.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/compress/k_rows.h"
#include "engine/compress/layer.h"
#include "engine/compress/statistics.h"
#include "engine/graph/edit.h"
#include "engine/graph/weights.h"

namespace konv::compress {
namespace {

constexpr std::int64_t kStatisticsRows = 131072;
constexpr double kTargetDamping = 0.01;  // of the mean diagonal of H: towards the original weights where the data say little
constexpr double kRefitDamping = 1e-3;

/// A convolution whose rows may go: not grouped, not yet quantized.
std::optional<Layer> prunable(const Graph& graph, NodeId id) {
  const auto* conv = graph.as<Conv>(id);
  if (!conv || conv->groups != 1) return {};
  const std::optional<Layer> layer = layer_of(graph, id);
  if (!layer || graph.value(layer->weight).quantization) return {};
  return layer;
}

Matrix restricted(const Matrix& t, const Matrix& w, const Matrix& h, double damping, std::span<const std::int32_t> keep) {
  const double amount = damping * std::max(mean_diagonal(h), 1e-30);
  Matrix right = columns_of(t, keep);
  const Matrix original = columns_of(w, keep);
  for (std::int64_t o = 0; o < right.rows; ++o) add_scaled(right.row(o), amount, original.row(o));
  return solve_rows(damped(submatrix(h, keep), amount), right);
}

class Pruner {
 public:
  Pruner(const Graph& graph, const Graph& target, const Streams& streams, const PruneSettings& settings)
      : source_(graph), target_(target), graph_(graph), streams_(streams), settings_(settings), order_(graph.nodes()) {}

  Graph run(const Samples& inputs, const Progress& progress, std::vector<PrunedLayer>* report) {
    std::size_t done = 0;
    const std::size_t total = 2 * order_.size();
    const auto step = [&] {
      if (progress) progress(++done, total);
    };
    // What every layer would lose, on the unpruned network.
    std::vector<NodeId> layers;
    std::vector<LayerCurve> curves;
    begin(inputs);
    for (const NodeId id : order_) {
      if (!is_activation(target_, target_.node(id).output())) continue;
      const std::optional<Layer> layer = prunable(source_, id);
      if (layer) {
        layers.push_back(id);
        curves.push_back(curve_of(*layer, run_node(without_activation(target_, *layer, false), id, reals_)));
      }
      reals_[target_.node(id).output()] = run_node(target_, id, reals_);
      release(id);
      step();
    }
    if (layers.empty())
      throw Error("the model has no convolution whose rows can be pruned; expected one of float32 weights that is not grouped");
    const std::vector<std::size_t> counts = allocate(curves, settings_.share);
    for (std::size_t i = 0; i < layers.size(); ++i) remove_[layers[i]] = counts[i];

    begin(inputs);
    for (const NodeId id : order_) {
      if (!is_activation(target_, target_.node(id).output())) continue;
      process(id);
      release(id);
      step();
    }
    if (report) *report = std::move(reports_);
    Graph result = graph_.compacted();
    verify(result);
    return result;
  }

 private:
  void begin(const Samples& inputs) {
    reals_.clear();
    pruned_.clear();
    reads_.clear();
    for (int v = 0; v < source_.value_count(); ++v) reads_.push_back(source_.reader_count({v}));
    reals_[source_.inputs().front()] = inputs;
    pruned_[source_.inputs().front()] = inputs;
  }

  Samples run_node(const Graph& graph, NodeId id, const std::map<ValueId, Samples>& values) const {
    std::map<ValueId, const Samples*> inputs;
    std::vector<ValueId> activations;
    alone(graph, id, activations);
    for (const ValueId value : activations) inputs[value] = &values.at(value);
    return streams_.run(graph, id, inputs);
  }

  RowGroups groups_of(const ConvShape& shape) const {
    return row_groups(shape.in_channels, shape.kernel_h * shape.kernel_w, settings_.granularity);
  }

  /// `sums`: its outputs before the activation, shortcut included; errors count against their variance.
  LayerCurve curve_of(const Layer& layer, const Samples& sums) const {
    const ConvShape shape = layer_shape(source_, layer);
    const Moments m = moments(streams_, shape, reals_.at(layer.input), nullptr, &sums, kStatisticsRows).front();
    const Matrix w = layer_weights(source_, layer);
    const RowGroups groups = groups_of(shape);
    LayerCurve curve;
    curve.removal = removal_order(w, m.h, groups, groups.size());
    const auto per_row = static_cast<double>(shape.out_pixels() * shape.out_channels);
    for (const std::int32_t group : curve.removal.order)
      curve.macs.push_back(per_row * static_cast<double>(groups[static_cast<std::size_t>(group)].size()));
    curve.all_macs = static_cast<double>(shape.macs());
    curve.variance = 0;
    for (const double variance : m.target_variance) curve.variance += variance;
    return curve;
  }

  void process(NodeId id) {
    const Node node = source_.node(id);
    const std::optional<Layer> layer = layer_of(source_, id);
    const bool refit = layer && !source_.value(layer->weight).quantization;
    if (!refit) {
      reals_[node.output()] = run_node(target_, id, reals_);
      pruned_[node.output()] = run_node(graph_, id, pruned_);
      return;
    }
    Samples wanted = run_node(without_activation(target_, *layer, false), id, reals_);
    Samples result = make_samples(DType::float32, wanted.dims, wanted.images);
    for (std::int64_t i = 0; i < wanted.elements() * wanted.images; ++i) result.f32(0)[i] = apply(layer->activation, wanted.f32(0)[i]);
    reals_[node.output()] = std::move(result);
    if (layer->residual) {  // the layer also repairs what its shortcut has lost
      const Samples& shortcut = pruned_.at(layer->residual);
      for (std::int64_t i = 0; i < wanted.elements() * wanted.images; ++i) wanted.f32(0)[i] -= shortcut.f32(0)[i];
    }
    const ConvShape shape = layer_shape(source_, *layer);
    const std::vector<Moments> groups = moments(streams_, shape, pruned_.at(layer->input), nullptr, &wanted, kStatisticsRows);
    if (shape.groups == 1) write_weights(*layer, shape, groups.front());
    pruned_[node.output()] = run_node(graph_, id, pruned_);
  }

  void write_weights(const Layer& layer, const ConvShape& shape, const Moments& m) {
    const Matrix original = layer_weights(target_, layer);
    std::vector<std::int32_t> keep(static_cast<std::size_t>(shape.k()));
    for (std::size_t i = 0; i < keep.size(); ++i) keep[i] = static_cast<std::int32_t>(i);
    const auto found = remove_.find(layer.node);
    const std::size_t count = found == remove_.end() ? 0 : found->second;
    if (count > 0) {
      const RowGroups groups = groups_of(shape);
      const Matrix best = restricted(m.t, original, m.h, kTargetDamping, keep);
      keep = kept_rows(groups, removal_order(best, m.h, groups, count), count);
    }
    const Matrix w = restricted(m.t, original, m.h, kRefitDamping, keep);
    std::vector<float> weights, bias;
    double noise = 0, signal = 0;
    const Matrix h = submatrix(m.h, keep), t = columns_of(m.t, keep);
    for (std::int64_t o = 0; o < w.rows; ++o) {
      double shift = m.target_mean[static_cast<std::size_t>(o)], whw = 0;
      for (std::int64_t i = 0; i < w.columns; ++i) {
        shift -= w.at(o, i) * m.mean[static_cast<std::size_t>(keep[static_cast<std::size_t>(i)])];
        whw += w.at(o, i) * dot(h.row(i), w.row(o));
      }
      bias.push_back(static_cast<float>(shift));
      noise += std::max(0.0, m.target_variance[static_cast<std::size_t>(o)] - 2 * dot(w.row(o), t.row(o)) + whw);
      signal += m.target_variance[static_cast<std::size_t>(o)];
    }
    write(layer, w, keep, shape.k(), bias);
    if (count > 0)
      reports_.push_back(
          {source_.node(layer.node).name, shape.k(), std::ssize(keep), 10 * std::log10(std::max(signal, 1e-30) / std::max(noise, 1e-30))});
  }

  void write(const Layer& layer, const Matrix& w, const std::vector<std::int32_t>& keep, std::int64_t k, const std::vector<float>& bias) {
    const Value& before = source_.value(layer.weight);
    const Dims dense = before.kept_rows ? before.kept_rows->dense_dims : before.constant->dims;
    std::vector<float> weights(w.values.size());
    for (std::int64_t o = 0; o < w.rows; ++o) {
      for (std::int64_t i = 0; i < w.columns; ++i)
        weights[static_cast<std::size_t>(layer.transposed ? i * w.rows + o : o * w.columns + i)] = static_cast<float>(w.at(o, i));
    }
    const bool whole = std::ssize(keep) == k;
    const ValueId weight =
        graph_.add_constant(before.name + (whole ? ".refitted" : ".pruned"), make_f32(whole ? dense : Dims{w.rows, w.columns}, weights));
    if (!whole)
      graph_.value(weight).kept_rows = KeptRows{keep, static_cast<std::int32_t>(std::min(settings_.granularity, dense[1])), dense};
    Node& node = graph_.mutable_node(layer.node);
    if (node.inputs.size() < 3) node.inputs.resize(3);
    node.inputs[1] = weight;
    node.inputs[2] = graph_.add_constant(node.name + ".bias.refitted", make_f32({w.rows}, bias));
    if (auto* gemm = std::get_if<Gemm>(&node.op)) gemm->beta = 1;
    graph_.refresh_index();
  }

  void release(NodeId id) {
    for (const ValueId input : source_.node(id).inputs) {
      if (!input || source_.value(input).constant || --reads_[static_cast<std::size_t>(input.index)] > 0) continue;
      reals_.erase(input);
      pruned_.erase(input);
    }
  }

  const Graph &source_, &target_;
  Graph graph_;
  const Streams& streams_;
  const PruneSettings& settings_;
  std::vector<NodeId> order_;
  std::map<NodeId, std::size_t> remove_;
  std::map<ValueId, Samples> reals_, pruned_;
  std::vector<int> reads_;
  std::vector<PrunedLayer> reports_;
};

}  // namespace

Graph with_weights_of(const Graph& graph, const Graph& reference) {
  std::map<std::string, NodeId> named;
  for (const NodeId id : reference.nodes()) named[reference.node(id).name] = id;
  Graph target = graph;
  for (const NodeId id : graph.nodes()) {
    const std::optional<Layer> layer = layer_of(graph, id);
    if (!layer) continue;
    const Node& node = graph.node(id);
    const auto found = named.find(node.name);
    const std::optional<Layer> other = found == named.end() ? std::nullopt : layer_of(reference, found->second);
    if (!other)
      throw Error(fmt::format("{}: the reference has no such layer; expected the model that this one was made from", label(node)));
    const Tensor weight = real_weights(reference.value(other->weight));
    const Value& own = graph.value(layer->weight);
    const Dims& dims = own.kept_rows ? own.kept_rows->dense_dims : own.constant->dims;
    if (weight.dims != dims) {
      throw Error(fmt::format("{}: its weight is {} here and {} in the reference; expected the model that this one was made from",
                              label(node), to_string(dims), to_string(weight.dims)));
    }
    Node& changed = target.mutable_node(id);
    changed.inputs[1] = target.add_constant(own.name + ".reference", weight);
    if (other->bias) {
      if (changed.inputs.size() < 3) changed.inputs.resize(3);
      changed.inputs[2] = target.add_constant(node.name + ".bias.reference", *reference.constant(other->bias));
    } else if (changed.inputs.size() > 2) {
      changed.inputs[2] = {};
    }
  }
  target.refresh_index();
  return target;
}

Graph prune_k_rows(const Graph& graph, const Graph& target, const Samples& inputs, const Streams& streams, const PruneSettings& settings,
                   const Progress& progress, std::vector<PrunedLayer>* report) {
  for (int v = 0; v < graph.value_count(); ++v) {
    if (graph.value({v}).quantization)
      throw Error(fmt::format("value '{}': is quantized; expected a float model (prune first, then quantize with --reference)",
                              graph.value({v}).name));
  }
  return Pruner(graph, target, streams, settings).run(inputs, progress, report);
}

}  // namespace konv::compress
