#include "engine/compress/quantize.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/compress/layer.h"
#include "engine/compress/narrow.h"
#include "engine/compress/pack.h"
#include "engine/compress/statistics.h"
#include "engine/compress/targets.h"
#include "engine/graph/edit.h"

namespace konv::compress {
namespace {

constexpr std::int64_t kClipSamples = 1 << 17;  // values that a clip is chosen by
constexpr std::int64_t kErrorImages = 32;       // images on which candidates for a clip are compared

/// Operators that hand values on as they are: their output has their input's scale.
bool keeps_values(const Op& op) {
  if (const auto* pool = std::get_if<Pool>(&op)) return pool->kind == PoolKind::max;
  return std::holds_alternative<Slice>(op) || std::holds_alternative<Pad>(op) || std::holds_alternative<Flatten>(op) ||
         std::holds_alternative<Reshape>(op) || std::holds_alternative<Squeeze>(op) || std::holds_alternative<Unsqueeze>(op) ||
         std::holds_alternative<Transpose>(op) || std::holds_alternative<Identity>(op);
}

/// Operators beside layers that have integer kernels with a scale of their own behind them.
bool rescales(const Graph& graph, const Node& node) {
  if (const auto* pool = std::get_if<Pool>(&node.op)) return pool->kind == PoolKind::average;
  if (const auto* reduce = std::get_if<Reduce>(&node.op)) {
    const auto& shape = graph.value(node.input(0)).shape;
    Ints axes = reduce->axes;
    for (std::int64_t& axis : axes) axis += axis < 0 ? 4 : 0;
    std::sort(axes.begin(), axes.end());
    return reduce->kind == ReduceKind::mean && shape && shape->size() == 4 && axes == Ints{2, 3};
  }
  const auto* binary = std::get_if<Binary>(&node.op);
  if (!binary || binary->kind != BinaryKind::add || graph.constant(node.input(0)) || graph.constant(node.input(1))) return false;
  const auto &a = graph.value(node.input(0)).shape, &b = graph.value(node.input(1)).shape;
  return a && b && to_string(*a) == to_string(*b);
}

class Quantizer {
 public:
  Quantizer(const Graph& graph, const Graph& target, const Streams& streams, const QuantizeSettings& settings)
      : float_graph_(graph), target_(target), graph_(graph), streams_(streams), settings_(settings), order_(graph.nodes()) {
    for (const auto& [name, unused] : settings.named) unknown_.insert(name);
    find_layers();
    plan_bits();
    if (!unknown_.empty())
      throw Error(fmt::format("--config: layer '{}' is not in the model; expected the name of a convolution or fully connected layer",
                              *unknown_.begin()));
    for (int v = 0; v < graph.value_count(); ++v) reads_.push_back(graph.reader_count({v}));
  }

  Graph run(const Samples& inputs, const Progress& progress, std::vector<LayerReport>* report) {
    std::size_t done = 0;
    if (!layers_.empty()) {
      reals_[graph_.inputs().front()] = inputs;
      integers_[graph_.inputs().front()] = inputs;
    }
    for (const NodeId id : order_) {
      if (!layers_.empty() && is_activation(float_graph_, float_graph_.node(id).output())) process(id);
      if (const auto narrow = narrow_.find(id); narrow != narrow_.end()) {
        LayerReport layer{.name = float_graph_.node(id).name, .weight_bits = bits(narrow->second)};
        layer.signal_to_noise = narrow_weight(graph_, id, narrow->second);
        reports_.push_back(std::move(layer));
      }
      if (progress) progress(++done, order_.size());
    }
    double noise = 0;
    for (const LayerReport& layer : reports_) noise += std::pow(10, -layer.signal_to_noise / 10);
    for (LayerReport& layer : reports_) layer.noise_share = noise > 0 ? std::pow(10, -layer.signal_to_noise / 10) / noise : 0;
    if (report) *report = std::move(reports_);
    remove_unread_nodes(graph_);
    Graph result = graph_.compacted();
    verify(result);
    return result;
  }

 private:
  // Before anything runs: which layers become integers and how many bits every value is wanted with.

  void find_layers() {
    std::vector<NodeId> found;
    for (const NodeId id : order_) {
      if (layer_of(float_graph_, id)) found.push_back(id);
    }
    if (found.empty()) throw Error("the model has no convolution or fully connected layer with constant weights; expected at least one");
    for (const NodeId id : found) {
      const std::string& name = float_graph_.node(id).name;
      const auto named = settings_.named.find(name);
      LayerSettings s = named == settings_.named.end() ? settings_.layers : named->second;
      unknown_.erase(name);
      const bool end = id == found.front() || id == found.back();
      if (end && named == settings_.named.end()) {
        if (s.weight_bits > 0) s.weight_bits = std::max(s.weight_bits, settings_.end_bits);
        if (s.activation_bits > 0) s.activation_bits = std::max(s.activation_bits, settings_.end_bits);
      }
      if (s.weight_bits == 0) {
        if (s.storage != DType::float32) narrow_[id] = s.storage;
        continue;
      }
      if (s.activation_bits > 8 && s.weight_bits < 8)
        throw Error(fmt::format("{}: {}-bit weights with {}-bit activations have no kernel; expected weights of 8 or 16 bits",
                                label(float_graph_.node(id)), s.weight_bits, s.activation_bits));
      layers_[id] = s;
    }
  }

  void plan_bits() {
    wanted_.resize(static_cast<std::size_t>(float_graph_.value_count()));
    int skip_bits = settings_.skip_bits;
    for (const auto& [id, s] : layers_) skip_bits = std::max(skip_bits, s.activation_bits);
    if (std::all_of(layers_.begin(), layers_.end(), [](const auto& l) { return l.second.activation_bits == 0; })) skip_bits = 0;
    skip_bits_ = skip_bits;
    const auto want = [&](ValueId id, int bits) {
      if (!id || float_graph_.value(id).constant) return;
      int& wanted = wanted_[static_cast<std::size_t>(id.index)];
      wanted = std::max(wanted, bits);
    };
    for (std::size_t i = order_.size(); i-- > 0;) {
      const Node& node = float_graph_.node(order_[i]);
      const int of_output = wanted(node.output());
      const auto layer = layers_.find(order_[i]);
      if (layer != layers_.end()) {
        if (layer->second.activation_bits == 0) continue;
        want(node.input(0), layer->second.activation_bits);
        want(node.input(Conv::kResidual), skip_bits_);
      } else if (of_output > 0 && keeps_values(node.op)) {
        want(node.input(0), of_output);
      } else if (rescales(float_graph_, node) && skip_bits_ > 0) {
        for (const ValueId input : node.inputs) want(input, skip_bits_);
      }
    }
  }

  int wanted(ValueId id) const { return wanted_[static_cast<std::size_t>(id.index)]; }

  // Values of the graph under construction.

  const Quantization* scale_of(ValueId id) const {
    const auto& q = graph_.value(id).quantization;
    return q ? &*q : nullptr;
  }
  int bits_of(ValueId id) const { return scale_of(id) ? bits(graph_.value(id).dtype) : 0; }

  void set_scale(ValueId id, const Clip& clip) {
    graph_.value(id).dtype = clip.dtype;
    graph_.value(id).quantization = clip.quantization;
  }

  /// The value with at most `wanted_bits`, 0 for real numbers: itself, or an Identity behind it.
  ValueId version(ValueId id, int wanted_bits) {
    const int has = bits_of(id);
    if (has == wanted_bits || (has > 0 && wanted_bits > has)) return id;
    const auto key = std::make_pair(id, wanted_bits);
    if (const auto found = versions_.find(key); found != versions_.end()) return found->second;
    const ValueId made =
        graph_.add(fmt::format("{}.{}", graph_.value(id).name, wanted_bits ? fmt::format("q{}", wanted_bits) : "real"), Identity{}, {id});
    graph_.value(made).shape = graph_.value(id).shape;
    if (wanted_bits > 0) set_scale(made, clip_for(id, integers_.at(id), wanted_bits));
    integers_[made] = run_node(graph_, graph_.producer(made));
    return versions_[key] = made;
  }

  Samples run_node(const Graph& graph, NodeId id) {
    std::map<ValueId, const Samples*> inputs;
    std::vector<ValueId> activations;
    alone(graph, id, activations);
    for (const ValueId value : activations) inputs[value] = &integers_.at(value);
    return streams_.run(graph, id, inputs);
  }

  Samples run_float(const Graph& graph, NodeId id) {
    std::map<ValueId, const Samples*> inputs;
    std::vector<ValueId> activations;
    alone(graph, id, activations);
    for (const ValueId value : activations) inputs[value] = &reals_.at(value);
    return streams_.run(graph, id, inputs);
  }

  void expect_finite(const Samples& samples, const Node& node) const {
    const std::span<const float> x = samples.reals();
    const auto found = std::find_if(x.begin(), x.end(), [](float y) { return !std::isfinite(y); });
    if (found == x.end()) return;
    throw Error(fmt::format("{}: gives {} for calibration image {}; expected finite activations", label(node), *found,
                            (found - x.begin()) / samples.elements()));
  }

  // Clips.

  /// The best range of `bits` for value `id`, of which `samples` are the real or integer values so far.
  Clip clip_for(ValueId id, const Samples& samples, int bits) {
    const Quantization* q = samples.dtype == DType::float32 ? nullptr : scale_of(id);
    const std::int64_t elements = samples.elements(), total = elements * samples.images;
    const std::int64_t step = std::max<std::int64_t>(1, total / kClipSamples) | 1;  // odd, so that it meets every column
    std::vector<float> image(static_cast<std::size_t>(elements)), values;
    Range range;
    for (std::int64_t n = 0; n < samples.images; ++n) {
      to_reals(samples, q, n, image.data());
      for (std::int64_t i = 0; i < elements; ++i) {
        range.low = std::min(range.low, image[static_cast<std::size_t>(i)]);
        range.high = std::max(range.high, image[static_cast<std::size_t>(i)]);
        if ((n * elements + i) % step == 0) values.push_back(image[static_cast<std::size_t>(i)]);
      }
    }
    const std::vector<Layer> readers = readers_with(id, bits);
    Calibrator calibrator = settings_.layers.calibrator;
    if (!readers.empty()) calibrator = layers_.at(readers.front().node).calibrator;
    ReadersError error;
    if (!readers.empty()) {
      error = [&](const Quantization& quantization, DType dtype) { return readers_error(readers, samples, q, quantization, dtype); };
    }
    const Clip clip = choose_clip(values, range, bits, calibrator, error);
    for (const Layer& reader : readers) clips_[reader.node] = clip;
    return clip;
  }

  /// Layers of the float graph that read the value with so many bits.
  std::vector<Layer> readers_with(ValueId id, int bits) const {
    std::vector<Layer> readers;
    if (id.index >= float_graph_.value_count()) return readers;
    for (const NodeId node : float_graph_.readers(id)) {
      const auto found = layers_.find(node);
      if (found == layers_.end() || found->second.activation_bits != bits) continue;
      const Layer layer = *layer_of(float_graph_, node);
      if (layer.input == id) readers.push_back(layer);
    }
    return readers;
  }

  /// What rounding the value adds to the outputs of its readers, relative to their size.
  double readers_error(const std::vector<Layer>& readers, const Samples& samples, const Quantization* q, const Quantization& quantization,
                       DType dtype) {
    const std::int64_t images = std::min(kErrorImages, samples.images), elements = samples.elements();
    const Streams few(images, streams_.pool(), streams_.machine());
    Samples real = make_samples(DType::float32, samples.dims, images), off = make_samples(DType::float32, samples.dims, images);
    for (std::int64_t n = 0; n < images; ++n) {
      to_reals(samples, q, n * samples.images / images, real.f32(n));
      const float* x = real.f32(n);
      float* e = off.f32(n);
      for (std::int64_t i = 0; i < elements; ++i) e[i] = quantized(x[i], quantization, dtype) - x[i];
    }
    double total = 0;
    for (const Layer& reader : readers) {
      const Graph linear = without_activation(float_graph_, reader, true);
      const Samples noise = few.run(linear, reader.node, {{reader.input, &off}}),
                    signal = few.run(linear, reader.node, {{reader.input, &real}});
      total += energy(noise) / std::max(energy(signal), 1e-30);
    }
    return total;
  }

  static double energy(const Samples& samples) {
    double sum = 0;
    for (const float x : samples.reals()) sum += static_cast<double>(x) * static_cast<double>(x);
    return sum;
  }

  // Nodes, in order.

  void process(NodeId id) {
    const Node node = float_graph_.node(id);
    if (layers_.count(id)) {
      quantize_layer(id, *layer_of(float_graph_, id));
    } else {
      reals_[node.output()] = run_float(target_, id);
      expect_finite(reals_.at(node.output()), node);
      const bool integer_input = !node.inputs.empty() && scale_of(node.input(0));
      if (integer_input && keeps_values(node.op) && !float_graph_.is_output(node.output())) {
        graph_.value(node.output()).dtype = graph_.value(node.input(0)).dtype;
        graph_.value(node.output()).quantization = graph_.value(node.input(0)).quantization;
        integers_[node.output()] = run_node(graph_, id);
      } else if (integer_input && rescales(float_graph_, node)) {
        for (std::size_t i = 0; i < node.inputs.size(); ++i) set_input(id, i, version(node.inputs[i], skip_bits_));
        finish_output(id);
      } else {
        for (std::size_t i = 0; i < node.inputs.size(); ++i) {
          if (node.inputs[i] && scale_of(node.inputs[i])) set_input(id, i, version(node.inputs[i], 0));
        }
        integers_[node.output()] = run_node(graph_, id);
      }
    }
    release(node);
  }

  void set_input(NodeId id, std::size_t slot, ValueId value) {
    Node& node = graph_.mutable_node(id);
    if (node.inputs[slot] != value) node.inputs[slot] = value;
    graph_.refresh_index();
  }

  /// Runs the node, in real numbers first where its output needs a scale.
  void finish_output(NodeId id) {
    const ValueId output = graph_.node(id).output();
    if (wanted(output) > 0 && !float_graph_.is_output(output)) set_scale(output, clip_for(output, run_node(graph_, id), wanted(output)));
    integers_[output] = run_node(graph_, id);
  }

  void quantize_layer(NodeId id, const Layer& layer) {
    const LayerSettings& settings = layers_.at(id);
    const Node& node = float_graph_.node(id);
    Samples target = run_float(without_activation(target_, layer, false), id);
    expect_finite(target, node);
    reals_[node.output()] = activated(target, layer.activation);

    const ValueId input = version(layer.input, settings.activation_bits);
    set_input(id, 0, input);
    if (layer.residual) {
      const ValueId residual = version(layer.residual, settings.activation_bits ? skip_bits_ : 0);
      set_input(id, Conv::kResidual, residual);
      target = difference(target, integers_.at(residual), scale_of(residual));
    }
    const ConvShape shape = layer_shape(float_graph_, layer);
    const std::vector<Moments> groups = moments(streams_, shape, integers_.at(input), scale_of(input), &target, kStatisticsRows);
    write_weights(layer, shape, settings, groups);
    finish_output(id);
  }

  void write_weights(const Layer& layer, const ConvShape& shape, const LayerSettings& settings, const std::vector<Moments>& groups) {
    const Matrix all_weights = layer_weights(float_graph_, layer);
    const Value& stored = float_graph_.value(layer.weight);
    std::vector<std::int32_t> keep;
    if (stored.kept_rows) keep = stored.kept_rows->rows;
    for (std::int32_t i = 0; !stored.kept_rows && i < all_weights.columns; ++i) keep.push_back(i);
    const Matrix weights = columns_of(all_weights, keep);
    const std::int64_t k = weights.columns, outputs = weights.rows, per_group = shape.group_out();
    std::vector<std::int32_t> integers(static_cast<std::size_t>(outputs * k));
    std::vector<float> bias(static_cast<std::size_t>(outputs));
    Quantization q;
    q.axis = layer.transposed ? 1 : 0;
    double noise = 0, signal = 0;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const Moments& m = groups[g];
      const std::int64_t first = static_cast<std::int64_t>(g) * per_group;
      const Matrix h = submatrix(m.h, keep), t = columns_of(m.t, keep);
      const double damping = kTargetDamping * std::max(mean_diagonal(h), 1e-30);
      Matrix wanted_outputs = t;  // T + l W: towards the original where the data say little
      for (std::int64_t o = 0; o < per_group; ++o) add_scaled(wanted_outputs.row(o), damping, weights.row(first + o));
      const std::vector<RoundedRow> rows =
          round_weights(solve_rows(damped(h, damping), wanted_outputs), h, settings.weight_bits, settings.rounding);
      for (std::int64_t r = 0; r < per_group; ++r) {
        const RoundedRow& row = rows[static_cast<std::size_t>(r)];
        const std::int64_t o = first + r;
        const float scale = row.scale > 0 ? static_cast<float>(row.scale) : 1e-10f;
        q.scale.push_back(scale);
        q.zero_point.push_back(row.mirrored ? -1 : 0);
        std::vector<double> real(static_cast<std::size_t>(k));
        double shift = m.target_mean[static_cast<std::size_t>(r)], whw = 0;
        for (std::int64_t i = 0; i < k; ++i) {
          const std::int32_t integer = row.q[static_cast<std::size_t>(i)];
          real[static_cast<std::size_t>(i)] = static_cast<double>(scale) * integer;
          shift -= real[static_cast<std::size_t>(i)] * m.mean[static_cast<std::size_t>(keep[static_cast<std::size_t>(i)])];
          integers[static_cast<std::size_t>(layer.transposed ? i * outputs + o : o * k + i)] = integer + q.zero_point.back();
        }
        for (std::int64_t i = 0; i < k; ++i) whw += real[static_cast<std::size_t>(i)] * dot(h.row(i), real);
        bias[static_cast<std::size_t>(o)] = static_cast<float>(shift);
        noise += std::max(0.0, m.target_variance[static_cast<std::size_t>(r)] - 2 * dot(real, t.row(r)) + whw);
        signal += m.target_variance[static_cast<std::size_t>(r)];
      }
    }
    const Dims& dims = float_graph_.constant(layer.weight)->dims;
    const std::string base = float_graph_.value(layer.weight).name;
    const ValueId weight = graph_.add_constant(base + ".quantized", pack_integers(signed_type(settings.weight_bits), dims, integers));
    graph_.value(weight).quantization = q;
    graph_.value(weight).kept_rows = stored.kept_rows;
    Node& node = graph_.mutable_node(layer.node);
    if (node.inputs.size() < 3) node.inputs.resize(3);
    node.inputs[1] = weight;
    node.inputs[2] = graph_.add_constant(node.name + ".bias.quantized", make_f32({outputs}, bias));
    if (auto* gemm = std::get_if<Gemm>(&node.op)) gemm->beta = 1;
    graph_.refresh_index();
    report_layer(layer, settings, q, noise, signal);
  }

  void report_layer(const Layer& layer, const LayerSettings& settings, const Quantization& q, double noise, double signal) {
    LayerReport report;
    report.name = float_graph_.node(layer.node).name;
    report.weight_bits = settings.weight_bits;
    report.activation_bits = settings.activation_bits;
    if (const auto clip = clips_.find(layer.node); clip != clips_.end()) {
      report.calibrator = clip->second.chosen;
      report.input_scale = static_cast<double>(clip->second.quantization.scale.front());
      report.clipped = clip->second.clipped;
    }
    const auto [least, most] = std::minmax_element(q.scale.begin(), q.scale.end());
    report.weight_scale_min = static_cast<double>(*least);
    report.weight_scale_max = static_cast<double>(*most);
    report.signal_to_noise = 10 * std::log10(std::max(signal, 1e-30) / std::max(noise, 1e-30));
    reports_.push_back(std::move(report));
  }

  /// Forgets values that nobody reads any more.
  void release(const Node& node) {
    for (const ValueId input : node.inputs) {
      if (!input || float_graph_.value(input).constant || --reads_[static_cast<std::size_t>(input.index)] > 0) continue;
      reals_.erase(input);
      integers_.erase(input);
      for (const auto& [key, made] : versions_) {
        if (key.first == input) integers_.erase(made);
      }
    }
  }

  const Graph& float_graph_;
  const Graph& target_;  // the same nodes, with the weights whose outputs are to be met
  Graph graph_;
  const Streams& streams_;
  const QuantizeSettings& settings_;
  std::vector<NodeId> order_;
  std::map<NodeId, LayerSettings> layers_;
  std::map<NodeId, DType> narrow_;  // layers that stay real, stored in fewer bits
  std::set<std::string> unknown_;
  std::vector<int> wanted_;  // by value: bits that integer readers want, 0: none
  int skip_bits_ = 8;
  std::vector<int> reads_;  // by value: reads still to come
  std::map<ValueId, Samples> reals_, integers_;
  std::map<std::pair<ValueId, int>, ValueId> versions_;
  std::map<NodeId, Clip> clips_;
  std::vector<LayerReport> reports_;
};

}  // namespace

bool needs_calibration(const QuantizeSettings& settings) {
  return settings.layers.weight_bits > 0 ||
         std::any_of(settings.named.begin(), settings.named.end(), [](const auto& named) { return named.second.weight_bits > 0; });
}

Graph quantize(const Graph& graph, const Graph& target, const Samples& inputs, const Streams& streams, const QuantizeSettings& settings,
               const Progress& progress, std::vector<LayerReport>* report) {
  if (graph.inputs().size() != 1 && needs_calibration(settings))
    throw Error(fmt::format("the model has {} inputs; expected one to calibrate with", graph.inputs().size()));
  return Quantizer(graph, target, streams, settings).run(inputs, progress, report);
}

}  // namespace konv::compress
