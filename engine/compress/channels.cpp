#include "engine/compress/channels.h"

#include <algorithm>
#include <numeric>

#include "engine/compress/layer.h"
#include "engine/compress/streams.h"
#include "engine/graph/infer.h"
#include "engine/graph/weights.h"

namespace konv::compress {
namespace {

using Channels = std::vector<std::int32_t>;

/// A channel of a padded value: those that the pad adds have no source.
struct PaddedChannels {
  std::int64_t before = 0, after = 0;
};

/// The channels that a Pad of constants adds; nothing where it cannot be followed.
std::optional<PaddedChannels> padded_channels(const Graph& graph, const Node& node) {
  const auto& pad = std::get<Pad>(node.op);
  const Tensor* constant = graph.constant(node.input(Pad::kPads));
  if (pad.mode != PadMode::constant || !constant || node.input(Pad::kAxes)) return {};
  const std::vector<std::int64_t> pads = to_i64(*constant);
  const std::size_t rank = pads.size() / 2;
  if (rank < 2 || pads[0] != 0 || pads[rank] != 0 || pads[1] < 0 || pads[rank + 1] < 0) return {};
  return PaddedChannels{pads[1], pads[rank + 1]};
}

/// Whether the operator leaves dimension 1 and the order in it alone, reading one activation.
bool keeps_channels(const Graph& graph, const Node& node) {
  const auto& shape = graph.value(node.input(0)).shape;
  if (const auto* pool = std::get_if<Pool>(&node.op)) return pool->kind != PoolKind::max_index;
  if (const auto* reduce = std::get_if<Reduce>(&node.op)) {
    return !reduce->axes.empty() && !node.input(Reduce::kAxes) &&
           std::all_of(reduce->axes.begin(), reduce->axes.end(),
                       [&](std::int64_t a) { return shape && (a < 0 ? a + std::ssize(*shape) : a) >= 2; });
  }
  if (const auto* squeeze = std::get_if<Squeeze>(&node.op)) {
    return !squeeze->axes.empty() && !node.input(Squeeze::kAxes) &&
           std::all_of(squeeze->axes.begin(), squeeze->axes.end(),
                       [&](std::int64_t a) { return shape && (a < 0 ? a + std::ssize(*shape) : a) >= 2; });
  }
  if (std::holds_alternative<Slice>(node.op)) {
    const Tensor* axes = graph.constant(node.input(Slice::kAxes));
    if (!axes || !shape) return false;
    const std::vector<std::int64_t> list = to_i64(*axes);
    return std::all_of(list.begin(), list.end(), [&](std::int64_t a) { return (a < 0 ? a + std::ssize(*shape) : a) >= 2; });
  }
  return std::holds_alternative<Unary>(node.op) || std::holds_alternative<Identity>(node.op);
}

/// Channels by number, joined where they must be one.
class Following {
 public:
  explicit Following(const Graph& graph) : graph_(graph), channels_(static_cast<std::size_t>(graph.value_count())) {}

  void run() {
    for (const ValueId input : graph_.inputs()) {
      of(input) = fresh(input, true);
    }
    for (const NodeId id : graph_.nodes()) {
      for (const ValueId output : graph_.node(id).outputs) {
        if (is_activation(graph_, output)) of(output) = outputs(id);
      }
      for (const ValueId input : graph_.node(id).inputs) {
        if (!is_activation(graph_, graph_.node(id).output())) fix(input);  // its shape decides something
      }
    }
    for (const ValueId output : graph_.outputs()) fix(output);
  }

  std::int32_t root(std::int32_t channel) {
    while (parent_[static_cast<std::size_t>(channel)] != channel) {
      parent_[static_cast<std::size_t>(channel)] = parent_[static_cast<std::size_t>(parent_[static_cast<std::size_t>(channel)])];
      channel = parent_[static_cast<std::size_t>(channel)];
    }
    return channel;
  }
  std::vector<Channels>& channels() { return channels_; }
  std::size_t size() const { return parent_.size(); }
  bool fixed(std::int32_t root) const { return fixed_[static_cast<std::size_t>(root)]; }

 private:
  Channels& of(ValueId id) { return channels_[static_cast<std::size_t>(id.index)]; }

  std::int32_t make(bool fixed) {
    parent_.push_back(static_cast<std::int32_t>(parent_.size()));
    fixed_.push_back(fixed);
    return parent_.back();
  }
  Channels fresh(std::int64_t count, bool fixed) {
    Channels made;
    for (std::int64_t i = 0; i < count; ++i) made.push_back(make(fixed));
    return made;
  }
  Channels fresh(ValueId id, bool fixed) {
    const auto& shape = graph_.value(id).shape;
    return shape && shape->size() > 1 && (*shape)[1].known() ? fresh((*shape)[1].value(), fixed) : Channels{};
  }

  void join(std::int32_t a, std::int32_t b) {
    a = root(a), b = root(b);
    if (a == b) return;
    parent_[static_cast<std::size_t>(b)] = a;
    if (fixed_[static_cast<std::size_t>(b)]) fixed_[static_cast<std::size_t>(a)] = true;
  }
  void join(const Channels& a, const Channels& b) {
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) join(a[i], b[i]);
  }
  void fix(ValueId id) {
    if (!id) return;
    for (const std::int32_t channel : of(id)) fixed_[static_cast<std::size_t>(root(channel))] = true;
  }

  /// The channels of the node's output.
  Channels outputs(NodeId id) {
    const Node& node = graph_.node(id);
    if (const std::optional<Layer> layer = layer_of(graph_, id); layer && !graph_.value(layer->weight).quantization) {
      const ConvShape shape = layer_shape(graph_, *layer);
      const Channels& in = of(layer->input);
      const bool depthwise = shape.groups > 1 && shape.groups == shape.in_channels && shape.out_channels == shape.groups;
      if (std::ssize(in) == shape.in_channels && (shape.groups == 1 || depthwise)) {
        const Channels out = depthwise ? in : fresh(shape.out_channels, false);
        if (layer->residual) join(out, of(layer->residual));
        return out;
      }
    } else if (keeps_channels(graph_, node)) {
      return of(node.input(0));
    } else if (std::holds_alternative<Binary>(node.op)) {
      if (const std::optional<Channels> out = of_binary(node)) return *out;
    } else if (const auto* concat = std::get_if<Concat>(&node.op); concat && concat->axis == 1) {
      Channels all;
      for (const ValueId input : node.inputs) all.insert(all.end(), of(input).begin(), of(input).end());
      return all;
    } else if (std::holds_alternative<Pad>(node.op)) {
      if (const std::optional<PaddedChannels> pads = padded_channels(graph_, node)) {
        Channels all = fresh(pads->before, false);
        all.insert(all.end(), of(node.input(0)).begin(), of(node.input(0)).end());
        const Channels after = fresh(pads->after, false);
        all.insert(all.end(), after.begin(), after.end());
        return all;
      }
    } else if (const auto* flatten = std::get_if<Flatten>(&node.op); flatten && flatten->axis == 1) {
      const Channels& in = of(node.input(0));
      const auto& shape = graph_.value(node.output()).shape;
      if (!in.empty() && shape && (*shape)[1].known()) {
        const std::int64_t each = (*shape)[1].value() / std::ssize(in);
        Channels all;
        for (const std::int32_t channel : in) all.insert(all.end(), static_cast<std::size_t>(each), channel);
        return all;
      }
    }
    for (const ValueId input : node.inputs) fix(input);
    return fresh(node.output(), true);
  }

  std::optional<Channels> of_binary(const Node& node) {
    const ValueId a = node.input(0), b = node.input(1);
    const Tensor *left = graph_.constant(a), *right = graph_.constant(b);
    if (left || right) {
      if ((left ? left : right)->count() != 1) return {};
      return of(left ? b : a);
    }
    const auto &x = graph_.value(a).shape, &y = graph_.value(b).shape;
    if (!x || !y || x->size() != y->size() || x->size() < 2 || of(a).empty() || of(a).size() != of(b).size()) return {};
    join(of(a), of(b));
    return of(a);
  }

  const Graph& graph_;
  std::vector<Channels> channels_;  // by value
  std::vector<std::int32_t> parent_;
  std::vector<bool> fixed_;
};

Tensor part_of(const Matrix& w, const Channels& rows, const std::vector<std::int32_t>& columns, const Dims& dims, bool transposed) {
  std::vector<float> values;
  if (transposed) {
    for (const std::int32_t j : columns) {
      for (const std::int32_t o : rows) values.push_back(static_cast<float>(w.at(o, j)));
    }
  } else {
    for (const std::int32_t o : rows) {
      for (const std::int32_t j : columns) values.push_back(static_cast<float>(w.at(o, j)));
    }
  }
  return make_f32(dims, values);
}

void shrink_layer(Graph& graph, const Layer& layer, const ChannelGroups& groups, const std::vector<bool>& gone) {
  const ConvShape shape = layer_shape(graph, layer);
  const Channels outputs = kept_channels(groups, graph.node(layer.node).output(), gone);
  const Channels inputs = kept_channels(groups, layer.input, gone);
  const bool depthwise = shape.groups > 1;
  const std::int64_t taps = shape.kernel_h * shape.kernel_w;
  std::vector<std::int32_t> columns;
  for (std::int64_t i = 0; i < (depthwise ? 1 : std::ssize(inputs)); ++i) {
    for (std::int64_t tap = 0; tap < taps; ++tap)
      columns.push_back(static_cast<std::int32_t>((depthwise ? 0 : inputs[static_cast<std::size_t>(i)]) * taps + tap));
  }
  const Matrix w = layer_weights(graph, layer);
  const Value& old = graph.value(layer.weight);
  Dims dims = old.kept_rows ? old.kept_rows->dense_dims : old.constant->dims;
  const std::size_t out_axis = layer.transposed ? 1 : 0, in_axis = 1 - out_axis;
  dims[out_axis] = std::ssize(outputs);
  if (!depthwise) dims[in_axis] = std::ssize(inputs);
  const std::string name = graph.node(layer.node).name;
  const ValueId weight = graph.add_constant(name + ".weight.fewer", part_of(w, outputs, columns, dims, layer.transposed));
  ValueId bias = layer.bias;
  if (bias) {
    const std::span<const float> before = graph.constant(bias)->f32();
    std::vector<float> values;
    for (const std::int32_t o : outputs) values.push_back(before[static_cast<std::size_t>(o)]);
    bias = graph.add_constant(name + ".bias.fewer", make_f32({std::ssize(outputs)}, values));
  }
  Node& node = graph.mutable_node(layer.node);
  node.inputs[1] = weight;
  if (bias) node.inputs[2] = bias;
  if (depthwise) std::get<Conv>(node.op).groups = std::ssize(outputs);
}

void shrink_pad(Graph& graph, NodeId id, const ChannelGroups& groups, const std::vector<bool>& gone) {
  const std::optional<PaddedChannels> channels = padded_channels(graph, graph.node(id));
  if (!channels || channels->before + channels->after == 0) return;
  const Channels& all = groups.of(graph.node(id).output());
  const auto left = [&](std::int64_t first, std::int64_t count) {
    return std::count_if(all.begin() + first, all.begin() + first + count,
                         [&](std::int32_t g) { return !gone[static_cast<std::size_t>(g)]; });
  };
  std::vector<std::int64_t> pads = to_i64(*graph.constant(graph.node(id).input(Pad::kPads)));
  const std::size_t rank = pads.size() / 2;
  pads[1] = left(0, channels->before);
  pads[rank + 1] = left(std::ssize(all) - channels->after, channels->after);
  const ValueId fewer = graph.add_constant(graph.node(id).name + ".pads.fewer", make_i64({std::ssize(pads)}, pads));
  graph.mutable_node(id).inputs[Pad::kPads] = fewer;
}

}  // namespace

ChannelGroups::ChannelGroups(const Graph& graph) : groups_(static_cast<std::size_t>(graph.value_count())) {
  Following following(graph);
  following.run();
  std::vector<std::int32_t> numbers(following.size(), -1);
  for (std::size_t v = 0; v < groups_.size(); ++v) {
    for (const std::int32_t channel : following.channels()[v]) {
      const std::int32_t root = following.root(channel);
      std::int32_t& number = numbers[static_cast<std::size_t>(root)];
      if (number < 0) {
        number = count_++;
        fixed_.push_back(following.fixed(root));
      }
      groups_[v].push_back(number);
    }
  }
}

std::vector<std::int32_t> kept_channels(const ChannelGroups& groups, ValueId value, const std::vector<bool>& gone) {
  const std::vector<std::int32_t>& all = groups.of(value);
  std::vector<std::int32_t> kept;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!gone[static_cast<std::size_t>(all[i])]) kept.push_back(static_cast<std::int32_t>(i));
  }
  return kept;
}

Graph without_channels(const Graph& graph, const ChannelGroups& groups, const std::vector<bool>& gone) {
  Graph smaller = graph;
  for (const NodeId id : graph.nodes()) {
    const std::vector<std::int32_t>& out = groups.of(graph.node(id).output());
    if (const std::optional<Layer> layer = layer_of(graph, id); layer && !out.empty()) {
      const std::vector<std::int32_t>& in = groups.of(layer->input);
      const auto leaves = [&](std::int32_t g) { return gone[static_cast<std::size_t>(g)]; };
      if (std::any_of(out.begin(), out.end(), leaves) || std::any_of(in.begin(), in.end(), leaves))
        shrink_layer(smaller, *layer, groups, gone);
    } else if (std::holds_alternative<Pad>(graph.node(id).op)) {
      shrink_pad(smaller, id, groups, gone);
    }
  }
  smaller.refresh_index();
  infer_shapes(smaller);
  return smaller;
}

}  // namespace konv::compress
