#include "engine/compress/refit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/compress/masked.h"
#include "engine/compress/targets.h"
#include "engine/graph/weights.h"

namespace konv::compress {
namespace {

constexpr double kRefitDamping = 1e-3;
constexpr int kActivationRounds = 2;  // refits towards what counts behind the activation

/// T + l W and H + l I: what least squares with damping solves.
Matrix damped_target(const Matrix& t, const Matrix& w, double amount) {
  Matrix right = t;
  for (std::int64_t o = 0; o < right.rows; ++o) add_scaled(right.row(o), amount, w.row(o));
  return right;
}

/// The best weights [Cout, |rows|] on `rows` alone.
Matrix fitted(const Moments& m, const Matrix& original, double damping, std::span<const std::int32_t> rows) {
  const double amount = damping * std::max(mean_diagonal(m.h), 1e-30);
  return solve_rows(damped(submatrix(m.h, rows), amount), damped_target(columns_of(m.t, rows), columns_of(original, rows), amount));
}

/// A graph's values for all images, kept as long as somebody reads them.
class Stream {
 public:
  Stream(const Graph& graph, const Samples& inputs, const Streams& streams) : streams_(streams) {
    for (int v = 0; v < graph.value_count(); ++v) reads_.push_back(graph.reader_count({v}));
    values_[graph.inputs().front()] = inputs;
  }

  const Samples& at(ValueId id) const { return values_.at(id); }
  void set(ValueId id, Samples samples) { values_[id] = std::move(samples); }
  Samples run(const Graph& graph, NodeId id) const {
    std::map<ValueId, const Samples*> inputs;
    std::vector<ValueId> activations;
    alone(graph, id, activations);
    for (const ValueId value : activations) inputs[value] = &values_.at(value);
    return streams_.run(graph, id, inputs);
  }
  /// The node has run: forgets what nobody reads any more.
  void release(const Node& node) {
    for (const ValueId input : node.inputs) {
      if (input && static_cast<std::size_t>(input.index) < reads_.size() && --reads_[static_cast<std::size_t>(input.index)] == 0)
        values_.erase(input);
    }
  }

 private:
  const Streams& streams_;
  std::map<ValueId, Samples> values_;
  std::vector<int> reads_;
};

Samples channels_of(const Samples& all, const std::vector<std::int32_t>& channels) {
  Dims dims = all.dims;
  const std::int64_t pixels = all.elements() / dims.front();
  dims.front() = std::ssize(channels);
  Samples some = make_samples(DType::float32, dims, all.images);
  for (std::int64_t n = 0; n < all.images; ++n) {
    const float* from = all.f32(n);
    float* to = some.f32(n);
    for (const std::int32_t c : channels) to = std::copy_n(from + c * pixels, pixels, to);
  }
  return some;
}

double signal_to_noise(const Samples& given, const Samples& wanted) {
  const std::span<const float> y = given.reals(), x = wanted.reals();
  double sum = 0, squares = 0, noise = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto want = static_cast<double>(x[i]), error = static_cast<double>(y[i]) - want;
    sum += want, squares += want * want, noise += error * error;
  }
  const double signal = squares - sum * sum / static_cast<double>(std::max<std::size_t>(1, x.size()));
  return 10 * std::log10(std::max(signal, 1e-30) / std::max(noise, 1e-30));
}

class Refitter {
 public:
  Refitter(Graph graph, const Graph& target, const Samples& inputs, const Streams& streams, const RefitOptions& options,
           std::vector<FittedLayer>& report)
      : target_(target),
        graph_(std::move(graph)),
        streams_(streams),
        options_(options),
        wanted_(target, inputs, streams),
        given_(target, inputs, streams),
        report_(report) {}

  Graph run(const std::function<void()>& step) {
    for (const NodeId id : target_.nodes()) {
      step();
      const Node& node = target_.node(id);
      if (!is_activation(target_, node.output())) continue;
      const std::optional<Layer> layer = layer_of(target_, id);
      if (layer && layer_shape(target_, *layer).groups == 1) {
        fit(*layer);
      } else {
        wanted_.set(node.output(), wanted_.run(target_, id));
        given_.set(node.output(), given_.run(graph_, id));
      }
      wanted_.release(node);
      given_.release(node);
    }
    return std::move(graph_);
  }

 private:
  void fit(const Layer& layer) {
    const ValueId output = target_.node(layer.node).output();
    Samples sums = wanted_.run(without_activation(target_, layer, false), layer.node);
    wanted_.set(output, activated(sums, layer.activation));
    Samples visible = wanted_.at(output);  // as far as the graph still has it
    if (const auto kept = options_.channels.find(layer.node); kept != options_.channels.end()) {
      sums = channels_of(sums, kept->second);
      visible = channels_of(visible, kept->second);
    }
    const Layer own = *layer_of(graph_, layer.node);
    const ConvShape shape = layer_shape(graph_, own);
    const Samples& input = given_.at(own.input);
    std::vector<Moments> moments_ = moments(streams_, shape, input, nullptr, nullptr, kStatisticsRows);
    const auto aim = [&](const Samples& target) {
      set_target(moments_, streams_, shape, input, nullptr, own.residual ? difference(target, given_.at(own.residual), nullptr) : target,
                 kStatisticsRows);
    };
    aim(sums);
    const Moments& m = moments_.front();
    const Matrix original = layer_weights(graph_, own);
    Kept kept;
    kept.rows.resize(static_cast<std::size_t>(shape.k()));
    std::iota(kept.rows.begin(), kept.rows.end(), 0);
    if (options_.choose && prunable(target_, layer))
      kept = options_.choose(layer.node, fitted(m, original, kTargetDamping, kept.rows), m.h);
    Matrix w = original;
    for (int round = 0;; ++round) {
      w = kept.mask.rows ? masked_fit(m.h, m.t, original, kRefitDamping, kept.mask, w) : fitted(m, original, kRefitDamping, kept.rows);
      write(own, w, kept.rows, shape.k(), m);
      if (round == kActivationRounds || !has_flat_parts(layer.activation)) break;
      aim(nearest_wanted(sums, given_.run(without_activation(graph_, own, false), layer.node), layer.activation));
    }
    given_.set(output, given_.run(graph_, layer.node));
    std::int64_t weights = w.rows * w.columns;
    if (kept.mask.rows) weights = static_cast<std::int64_t>(std::accumulate(kept.mask.values.begin(), kept.mask.values.end(), 0.0));
    const Matrix before = layer_weights(target_, layer);
    report_.push_back({layer.node, before.rows * before.columns, weights, signal_to_noise(given_.at(output), visible)});
  }

  void write(const Layer& layer, const Matrix& w, const std::vector<std::int32_t>& rows, std::int64_t k, const Moments& m) {
    const Value& before = graph_.value(layer.weight);
    const Dims dense = before.kept_rows ? before.kept_rows->dense_dims : before.constant->dims;
    std::vector<float> weights(w.values.size()), bias;
    for (std::int64_t o = 0; o < w.rows; ++o) {
      double shift = m.target_mean[static_cast<std::size_t>(o)];
      for (std::int64_t i = 0; i < w.columns; ++i) {
        weights[static_cast<std::size_t>(layer.transposed ? i * w.rows + o : o * w.columns + i)] = static_cast<float>(w.at(o, i));
        shift -= w.at(o, i) * m.mean[static_cast<std::size_t>(rows[static_cast<std::size_t>(i)])];
      }
      bias.push_back(static_cast<float>(shift));
    }
    const bool whole = std::ssize(rows) == k;
    const std::string name = graph_.node(layer.node).name;
    const ValueId weight = graph_.add_constant(name + ".weight.refitted", make_f32(whole ? dense : Dims{w.rows, w.columns}, weights));
    if (!whole) graph_.value(weight).kept_rows = KeptRows{rows, static_cast<std::int32_t>(std::min(options_.granularity, dense[1])), dense};
    const ValueId bias_value = graph_.add_constant(name + ".bias.refitted", make_f32({w.rows}, bias));
    Node& node = graph_.mutable_node(layer.node);
    if (node.inputs.size() < 3) node.inputs.resize(3);
    node.inputs[1] = weight;
    node.inputs[2] = bias_value;
    if (auto* gemm = std::get_if<Gemm>(&node.op)) gemm->beta = 1;
    graph_.refresh_index();
  }

  const Graph& target_;
  Graph graph_;
  const Streams& streams_;
  const RefitOptions& options_;
  Stream wanted_, given_;
  std::vector<FittedLayer>& report_;
};

}  // namespace

bool prunable(const Graph& graph, const Layer& layer) {
  const auto* conv = graph.as<Conv>(layer.node);
  return conv && conv->groups == 1;
}

std::vector<NodeId> prunable_layers(const Graph& graph) {
  std::vector<NodeId> layers;
  for (const NodeId id : graph.nodes()) {
    const std::optional<Layer> layer = layer_of(graph, id);
    if (layer && prunable(graph, *layer)) layers.push_back(id);
  }
  return layers;
}

void survey(const Graph& graph, const Samples& inputs, const Streams& streams,
            const std::function<void(const Layer&, const ConvShape&, const Moments&)>& f, const std::function<void()>& step) {
  Stream stream(graph, inputs, streams);
  for (const NodeId id : graph.nodes()) {
    step();
    const Node& node = graph.node(id);
    if (!is_activation(graph, node.output())) continue;
    const std::optional<Layer> layer = layer_of(graph, id);
    if (layer && layer_shape(graph, *layer).groups == 1) {
      const Samples sums = stream.run(without_activation(graph, *layer, false), id);
      const ConvShape shape = layer_shape(graph, *layer);
      f(*layer, shape, moments(streams, shape, stream.at(layer->input), nullptr, &sums, kStatisticsRows).front());
      stream.set(node.output(), activated(sums, layer->activation));
    } else {
      stream.set(node.output(), stream.run(graph, id));
    }
    stream.release(node);
  }
}

Graph refit(Graph graph, const Graph& target, const Samples& inputs, const Streams& streams, const RefitOptions& options,
            const std::function<void()>& step, std::vector<FittedLayer>& report) {
  return Refitter(std::move(graph), target, inputs, streams, options, report).run(step);
}

}  // namespace konv::compress
