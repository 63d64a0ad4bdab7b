#include "engine/passes/parallel_convs.h"

namespace konv::passes {

namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Where a tap of `small` lies in the kernel of `big`, along one dimension; nothing when it lies beside it.
std::optional<std::int64_t> tap_in(const Branch& small, const Branch& big, std::size_t axis, std::int64_t tap) {
  // Output pixel p reads, with tap t, the input pixel p * stride - pad + t * dilation.
  const std::int64_t from_first = big.pads_begin[axis] - small.pads_begin[axis] + tap * small.dilations[axis];
  if (from_first < 0 || from_first % big.dilations[axis] != 0) return {};
  const std::int64_t in_big = from_first / big.dilations[axis];
  if (in_big >= big.kernel[axis]) return {};
  return in_big;
}

/// Pixels that the window loses against the input at stride 1.
std::int64_t loss(const Branch& b, std::size_t axis) {
  return (b.kernel[axis] - 1) * b.dilations[axis] - b.pads_begin[axis] - b.pads_end[axis];
}

bool same_output_sizes(const Graph& graph, const Branch& a, const Branch& b) {
  bool equal_loss = true;
  for (std::size_t axis = 0; axis < a.kernel.size(); ++axis) equal_loss = equal_loss && loss(a, axis) == loss(b, axis);
  if (equal_loss) return true;  // whatever the input's size
  return certainly_equal(graph.value(a.output).shape, graph.value(b.output).shape);
}

/// Row-major number of the big kernel's tap under tap `number` of the small one.
std::int64_t tap_number_in(const Branch& small, const Branch& big, std::int64_t number) {
  std::int64_t result = 0, step = 1;
  for (std::size_t axis = small.kernel.size(); axis-- > 0;) {
    result += *tap_in(small, big, axis, number % small.kernel[axis]) * step;
    number /= small.kernel[axis];
    step *= big.kernel[axis];
  }
  return result;
}

/// weight [out, in / groups, taps] and bias [out] of `big` += those of `b`.
void add_branch(const Branch& b, const Branch& big, std::vector<double>& weight, std::vector<double>& bias) {
  const std::int64_t group_in = b.in_channels / b.groups, group_out = b.out_channels / b.groups, taps = b.taps();
  const std::int64_t big_in = big.in_channels / big.groups, big_out = big.out_channels / big.groups, big_taps = big.taps();
  Ints moved;
  for (std::int64_t t = 0; t < taps; ++t) moved.push_back(tap_number_in(b, big, t));
  for (std::int64_t o = 0; o < b.out_channels; ++o) {
    const double scale = b.norm ? b.norm->scale[at(o)] : 1;
    for (std::int64_t i = 0; i < group_in; ++i) {
      const std::int64_t channel = o / group_out * group_in + i;     // of the input
      const std::int64_t in_group = channel - o / big_out * big_in;  // within the group of `big`
      for (std::int64_t t = 0; t < taps; ++t) {
        const double w = b.weight ? b.weight->f32()[at((o * group_in + i) * taps + t)] : 1;
        weight[at((o * big_in + in_group) * big_taps + moved[at(t)])] += scale * w;
      }
    }
    if (b.bias) bias[at(o)] += scale * b.bias->f32()[at(o)];
    if (b.norm) bias[at(o)] += b.norm->shift[at(o)];
  }
}

}  // namespace

std::int64_t Branch::taps() const {
  std::int64_t n = 1;
  for (const std::int64_t k : kernel) n *= k;
  return n;
}

std::optional<Branch> conv_branch(const Graph& graph, NodeId id) {
  const auto* conv = graph.as<Conv>(id);
  if (!conv || conv->activation.kind != ActivationKind::none) return {};  // not linear
  const Node& node = graph.node(id);
  if (node.input(Conv::kResidual)) return {};
  if (!is_plain_float(graph, node.output()) || !is_plain_float(graph, node.input(Conv::kInput))) return {};
  Branch b{.input = node.input(Conv::kInput), .output = node.output(), .conv = id};
  b.weight = plain_weights(graph, node.input(Conv::kWeight));
  b.bias = plain_weights(graph, node.input(Conv::kBias));
  if (!b.weight || (node.input(Conv::kBias) && !b.bias)) return {};  // known only at run time

  const Ints kernel = kernel_of(b.weight->dims);
  const std::optional<Shape>& input = graph.value(b.input).shape;
  const Shape sizes = input ? Shape(input->begin() + 2, input->end()) : Shape(kernel.size());
  const WindowGeometry geometry = window_geometry(node.name, conv->window, kernel, sizes);
  if (geometry.pads_begin.size() != kernel.size()) return {};  // Same padding of unknown sizes at stride 2
  b.kernel = geometry.kernel;
  b.strides = geometry.strides;
  b.dilations = geometry.dilations;
  b.pads_begin = geometry.pads_begin;
  b.pads_end = geometry.pads_end;
  b.groups = conv->groups;
  b.in_channels = b.weight->dims[1] * conv->groups;
  b.out_channels = b.weight->dims[0];
  return b;
}

Branch identity_branch(const Branch& like, const Branch& identity) {
  Branch b = identity;
  b.kernel = b.strides = b.dilations = Ints(like.kernel.size(), 1);
  b.pads_begin = b.pads_end = Ints(like.kernel.size(), 0);
  b.groups = b.in_channels = b.out_channels = like.in_channels;
  return b;
}

bool fits_into(const Graph& graph, const Branch& small, const Branch& big) {
  if (small.input != big.input || small.strides != big.strides) return false;
  if (small.in_channels != big.in_channels || small.out_channels != big.out_channels) return false;  // the sum broadcasts
  if (small.groups % big.groups != 0) return false;
  for (std::size_t axis = 0; axis < small.kernel.size(); ++axis) {
    for (std::int64_t tap = 0; tap < small.kernel[axis]; ++tap) {
      if (!tap_in(small, big, axis, tap)) return false;
    }
  }
  return same_output_sizes(graph, small, big);
}

MergedConv merge(const Branch& big, const std::vector<Branch>& others) {
  std::vector<double> weight(at(big.weight->count()), 0.0), bias(at(big.out_channels), 0.0);
  bool has_bias = false;
  const auto add = [&](const Branch& b) {
    add_branch(b, big, weight, bias);
    has_bias = has_bias || b.bias || b.norm;
  };
  add(big);
  for (const Branch& other : others) add(other);
  MergedConv merged{from_doubles(big.weight->dims, weight), {}};
  if (has_bias) merged.bias = from_doubles({big.out_channels}, bias);
  return merged;
}

}  // namespace konv::passes
