#include "engine/compress/prune.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/compress/budget.h"
#include "engine/compress/channels.h"
#include "engine/compress/masked.h"
#include "engine/compress/surgeon.h"
#include "engine/graph/edit.h"
#include "engine/graph/weights.h"

namespace konv::compress {
namespace {

constexpr std::int64_t kRowMultiple = 4;         // that integer kernels take at once
constexpr std::size_t kUnstructuredSteps = 256;  // of a layer's weights, in the budget

/// What the three kinds share: two walks over the network, the survey and the refit.
struct Work {
  const Graph& graph;
  const Samples& inputs;
  const Streams& streams;
  const PruneSettings& settings;
  const std::function<void()>& step;
  std::vector<FittedLayer>& report;

  void look(const std::function<void(const Layer&, const ConvShape&, const Moments&)>& f) const { survey(graph, inputs, streams, f, step); }
  Graph fit(Graph smaller, const RefitOptions& options) const {
    return refit(std::move(smaller), graph, inputs, streams, options, step, report);
  }
};

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

/// How many groups are gone after each step of a layer: until the rows that stay are a multiple of kRowMultiple, where single ones go.
std::vector<std::size_t> row_steps(const RowGroups& groups, const Removal& removal, std::int64_t granularity, std::int64_t k) {
  std::vector<std::size_t> steps;
  std::int64_t left = k;
  for (std::size_t i = 0; i < removal.order.size(); ++i) {
    left -= std::ssize(groups[static_cast<std::size_t>(removal.order[i])]);
    if (granularity >= kRowMultiple || left % kRowMultiple == 0) steps.push_back(i + 1);
  }
  return steps;
}

Graph prune_k_rows(const Work& work) {
  struct Plan {
    RowGroups groups;
    std::vector<std::size_t> steps;
    std::size_t count = 0;
  };
  std::vector<NodeId> layers;
  std::vector<Plan> plans;
  std::vector<LayerCurve> curves;
  work.look([&](const Layer& layer, const ConvShape& shape, const Moments& m) {
    if (!prunable(work.graph, layer)) return;
    Plan plan{.groups = row_groups(shape.in_channels, shape.kernel_h * shape.kernel_w, work.settings.granularity)};
    const Removal removal = removal_order(layer_weights(work.graph, layer), m.h, plan.groups, plan.groups.size());
    plan.steps = row_steps(plan.groups, removal, work.settings.granularity, shape.k());
    LayerCurve curve{.variance = sum(m.target_variance), .all_macs = static_cast<double>(shape.macs())};
    std::size_t done = 0;
    for (const std::size_t count : plan.steps) {
      double macs = 0;
      for (; done < count; ++done)
        macs += static_cast<double>(shape.out_pixels() * shape.out_channels *
                                    std::ssize(plan.groups[static_cast<std::size_t>(removal.order[done])]));
      curve.macs.push_back(macs);
      curve.loss.push_back(removal.loss[count - 1]);
    }
    layers.push_back(layer.node);
    plans.push_back(std::move(plan));
    curves.push_back(std::move(curve));
  });
  const std::vector<std::size_t> taken = allocate(curves, work.settings.share);
  std::map<NodeId, Plan*> by_node;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    plans[i].count = taken[i] ? plans[i].steps[taken[i] - 1] : 0;
    by_node[layers[i]] = &plans[i];
  }
  RefitOptions options;
  options.granularity = work.settings.granularity;
  options.choose = [&](NodeId id, const Matrix& w, const Matrix& h) {
    const Plan& plan = *by_node.at(id);
    return Kept{kept_rows(plan.groups, removal_order(w, h, plan.groups, plan.count), plan.count), {}};
  };
  return work.fit(work.graph, options);
}

Graph prune_weights(const Work& work) {
  std::vector<NodeId> layers;
  std::vector<LayerCurve> curves;
  work.look([&](const Layer& layer, const ConvShape& shape, const Moments& m) {
    if (!prunable(work.graph, layer)) return;
    const std::vector<double> losses = weight_losses(layer_weights(work.graph, layer), m.h);
    LayerCurve curve{.variance = sum(m.target_variance), .all_macs = static_cast<double>(shape.macs())};
    double total = 0;
    std::size_t done = 0;
    for (std::size_t s = 1; s <= kUnstructuredSteps; ++s) {
      const std::size_t before = done;
      for (; done < losses.size() * s / kUnstructuredSteps; ++done) total += losses[done];
      curve.loss.push_back(total);
      curve.macs.push_back(std::max(1e-9, static_cast<double>(shape.out_pixels()) * static_cast<double>(done - before)));
    }
    layers.push_back(layer.node);
    curves.push_back(std::move(curve));
  });
  const std::vector<std::size_t> taken = allocate(curves, work.settings.share);
  std::map<NodeId, double> shares;
  for (std::size_t i = 0; i < layers.size(); ++i)
    shares[layers[i]] = static_cast<double>(taken[i]) / static_cast<double>(kUnstructuredSteps);
  RefitOptions options;
  options.choose = [&](NodeId id, const Matrix& w, const Matrix& h) {
    Kept kept;
    kept.rows.resize(static_cast<std::size_t>(w.columns));
    std::iota(kept.rows.begin(), kept.rows.end(), 0);
    if (shares.at(id) > 0) kept.mask = weight_mask(w, h, shares.at(id));
    return kept;
  };
  return work.fit(work.graph, options);
}

/// Takes channel groups one after the other: what all layers that read them lose with them, as a share of their variance, per multiply-add saved.
class ChannelChoice {
 public:
  ChannelChoice(const Graph& graph, const ChannelGroups& groups)
      : graph_(graph), groups_(groups), readers_(n()), writers_(n()), loss_(n()), gone_(n()) {
    for (const NodeId id : graph.nodes()) {
      const std::optional<Layer> layer = layer_of(graph, id);
      if (!layer) continue;
      const ConvShape shape = layer_shape(graph, *layer);
      const bool conv = graph.as<Conv>(id) != nullptr;
      if (conv) all_macs_ += static_cast<double>(shape.macs());
      Size size{conv ? static_cast<double>(shape.out_pixels()) : 0.0, static_cast<double>(shape.out_channels),
                static_cast<double>(shape.k())};
      for (const std::int32_t g : groups.of(graph.node(id).output())) ++writers_[at(g)][sizes_.size()];
      sizes_.push_back(size);
      if (shape.groups == 1) numbers_[id] = sizes_.size() - 1;
    }
  }

  /// A layer that reads channels, as the survey found it.
  void add_reader(const Layer& layer, const ConvShape& shape, const Moments& m) {
    const std::vector<std::int32_t>& in = groups_.of(layer.input);
    const std::int64_t taps = shape.kernel_h * shape.kernel_w;
    std::map<std::int32_t, std::vector<std::int32_t>> rows;
    for (std::size_t c = 0; c < in.size(); ++c) {
      for (std::int64_t tap = 0; tap < taps; ++tap)
        rows[in[c]].push_back(static_cast<std::int32_t>(static_cast<std::int64_t>(c) * taps + tap));
    }
    RowGroups units;
    for (auto& [group, list] : rows) {
      readers_[at(group)].push_back({surgeons_.size(), static_cast<std::int32_t>(units.size()), numbers_.at(layer.node), std::ssize(list)});
      units.push_back(std::move(list));
    }
    surgeons_.push_back(std::make_unique<Surgeon>(layer_weights(graph_, layer), m.h, std::move(units)));
    variances_.push_back(std::max(1e-30, sum(m.target_variance)));
  }

  std::vector<bool> choose(double share) {
    for (std::size_t g = 0; g < n(); ++g) loss_[g] = loss(g);
    double left = share * all_macs_;
    while (left > 0) {
      std::size_t best = n();
      double least = INFINITY;
      for (std::size_t g = 0; g < n(); ++g) {
        if (!may_go(g)) continue;
        const double price = loss_[g] / std::max(1.0, saved(g));
        if (price < least) least = price, best = g;
      }
      if (best == n()) break;
      left -= saved(best);
      take(best);
    }
    return gone_;
  }

 private:
  struct Size {
    double pixels, outputs, rows;  ///< as far as they are left
  };
  struct Reader {
    std::size_t surgeon;
    std::int32_t unit;
    std::size_t layer;
    std::int64_t rows;
  };

  std::size_t n() const { return static_cast<std::size_t>(groups_.count()); }
  static std::size_t at(std::int32_t g) { return static_cast<std::size_t>(g); }

  bool may_go(std::size_t g) const {
    if (gone_[g] || groups_.fixed(static_cast<std::int32_t>(g)) || writers_[g].empty()) return false;
    for (const auto& [layer, outputs] : writers_[g]) {
      if (sizes_[layer].outputs <= outputs) return false;  // something stays in every layer
    }
    for (const Reader& reader : readers_[g]) {
      if (sizes_[reader.layer].rows <= static_cast<double>(reader.rows)) return false;
    }
    return true;
  }

  double loss(std::size_t g) const {
    double total = 0;
    for (const Reader& reader : readers_[g]) total += surgeons_[reader.surgeon]->loss(reader.unit) / variances_[reader.surgeon];
    return total;
  }

  double saved(std::size_t g) const {
    double macs = 0;
    for (const auto& [layer, outputs] : writers_[g]) macs += sizes_[layer].pixels * sizes_[layer].rows * outputs;
    for (const Reader& reader : readers_[g])
      macs += sizes_[reader.layer].pixels * sizes_[reader.layer].outputs * static_cast<double>(reader.rows);
    return macs;
  }

  void take(std::size_t g) {
    gone_[g] = true;
    for (const auto& [layer, outputs] : writers_[g]) sizes_[layer].outputs -= outputs;
    std::vector<bool> changed(surgeons_.size());
    for (const Reader& reader : readers_[g]) {
      surgeons_[reader.surgeon]->remove(reader.unit);
      sizes_[reader.layer].rows -= static_cast<double>(reader.rows);
      changed[reader.surgeon] = true;
    }
    for (std::size_t other = 0; other < n(); ++other) {
      if (may_go(other) && std::any_of(readers_[other].begin(), readers_[other].end(), [&](const Reader& r) { return changed[r.surgeon]; }))
        loss_[other] = loss(other);
    }
  }

  const Graph& graph_;
  const ChannelGroups& groups_;
  std::vector<std::vector<Reader>> readers_;            // by group
  std::vector<std::map<std::size_t, double>> writers_;  // by group: layers and how many of their outputs are it
  std::vector<double> loss_;
  std::vector<bool> gone_;
  std::vector<Size> sizes_;
  std::map<NodeId, std::size_t> numbers_;
  std::vector<std::unique_ptr<Surgeon>> surgeons_;
  std::vector<double> variances_;
  double all_macs_ = 0;
};

Graph prune_channels(const Work& work) {
  const ChannelGroups groups(work.graph);
  ChannelChoice choice(work.graph, groups);
  work.look([&](const Layer& layer, const ConvShape& shape, const Moments& m) { choice.add_reader(layer, shape, m); });
  const std::vector<bool> gone = choice.choose(work.settings.share);
  RefitOptions options;
  for (const NodeId id : work.graph.nodes()) {
    if (layer_of(work.graph, id)) options.channels[id] = kept_channels(groups, work.graph.node(id).output(), gone);
  }
  return work.fit(without_channels(work.graph, groups, gone), options);
}

void expect_float(const Graph& graph) {
  if (graph.inputs().size() != 1)
    throw Error(fmt::format("the model has {} inputs; expected one to calibrate with", graph.inputs().size()));
  for (int v = 0; v < graph.value_count(); ++v) {
    if (graph.value({v}).quantization) throw Error(fmt::format("value '{}': is quantized; expected a float model", graph.value({v}).name));
  }
  if (prunable_layers(graph).empty())
    throw Error("the model has no convolution that can be pruned; expected one with constant float32 weights that is not grouped");
}

}  // namespace

Graph prune(const Graph& graph, const Samples& inputs, const Streams& streams, const PruneSettings& settings, const Progress& progress,
            std::vector<PrunedLayer>* report) {
  expect_float(graph);
  std::size_t done = 0;
  const std::size_t total = 2 * graph.nodes().size();
  const std::function<void()> step = [&] {
    if (progress) progress(++done, total);
  };
  std::vector<FittedLayer> fitted;
  const Work work{graph, inputs, streams, settings, step, fitted};
  const Graph smaller = settings.kind == PruneKind::k_rows     ? prune_k_rows(work)
                        : settings.kind == PruneKind::channels ? prune_channels(work)
                                                               : prune_weights(work);
  if (report) {
    for (const FittedLayer& layer : fitted)
      report->push_back({graph.node(layer.node).name, layer.weights, layer.kept, layer.signal_to_noise});
  }
  Graph result = smaller.compacted();
  verify(result);
  return result;
}

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

}  // namespace konv::compress
