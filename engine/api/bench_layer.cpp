#include "engine/api/bench_layer.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <fmt/format.h>

#include <konv/error.hpp>

#include "engine/graph/weights.h"

namespace konv::api {

Tensor noise(Dims dims, std::uint64_t seed, float scale) {
  MutableTensor tensor(DType::float32, std::move(dims));
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  for (float& x : tensor.f32()) x = uniform(random);
  return tensor;
}

Graph layer_graph(const ConvLayer& l, std::uint64_t seed) {
  if (l.groups < 1 || l.input[1] % l.groups != 0 || l.filter[0] % l.groups != 0) {
    throw Error(fmt::format("--groups {}: {} input and {} output channels; expected both to be multiples of it", l.groups, l.input[1],
                            l.filter[0]));
  }
  Graph graph;
  const ValueId in = graph.add_input("input", DType::float32, to_shape(Dims(l.input.begin(), l.input.end())));
  const std::int64_t group_in = l.input[1] / l.groups;
  const auto k = static_cast<float>(group_in * l.filter[1] * l.filter[2]);
  const ValueId weight =
      graph.add_constant("weight", noise({l.filter[0], group_in, l.filter[1], l.filter[2]}, seed + 1, std::sqrt(3.0f / std::max(1.0f, k))));
  const ValueId bias = graph.add_constant("bias", noise({l.filter[0]}, seed + 2));
  Conv conv;
  conv.window.strides.assign(l.stride.begin(), l.stride.end());
  conv.window.pads.assign(l.pad.begin(), l.pad.end());
  conv.window.dilations.assign(l.dilation.begin(), l.dilation.end());
  conv.groups = l.groups;
  conv.activation = {.kind = ActivationKind::relu};
  graph.add_output(graph.add("conv", conv, {in, weight, bias}));
  verify(graph);
  return graph;
}

namespace {

/// So many of `count` things, at random, in rising order.
std::vector<std::int64_t> chosen(std::int64_t count, double share, std::uint64_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) order[static_cast<std::size_t>(i)] = i;
  std::mt19937_64 random(seed);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  order.resize(static_cast<std::size_t>(static_cast<double>(count) * share + 0.5));
  std::sort(order.begin(), order.end());
  return order;
}

void expect_share(const char* option, double share) {
  if (!(share >= 0 && share < 1)) throw Error(fmt::format("{} {}: expected a share from 0 up to 1", option, share));
}

}  // namespace

void prune_rows(Graph& graph, double k_sparsity, std::int64_t lanes, std::uint64_t seed) {
  expect_share("--k-sparsity", k_sparsity);
  if (k_sparsity == 0) return;
  Value& weight = graph.value(*graph.find_value("weight"));
  const Tensor whole = *weight.constant;
  const std::int64_t in = whole.dims[1], taps = whole.dims[2] * whole.dims[3], groups = taps * ((in + lanes - 1) / lanes), k = in * taps;
  std::vector<std::int32_t> rows;
  for (const std::int64_t g : chosen(groups, 1 - k_sparsity, seed)) {
    for (std::int64_t c = g / taps * lanes; c < std::min(g / taps * lanes + lanes, in); ++c)
      rows.push_back(static_cast<std::int32_t>(c * taps + g % taps));
  }
  std::sort(rows.begin(), rows.end());
  MutableTensor compact(DType::float32, {whole.dims[0], std::ssize(rows)});
  for (std::int64_t o = 0; o < whole.dims[0]; ++o) {
    for (std::size_t i = 0; i < rows.size(); ++i)
      compact.f32()[static_cast<std::size_t>(o) * rows.size() + i] = whole.f32()[static_cast<std::size_t>(o * k + rows[i])];
  }
  weight.constant = compact;
  weight.shape = to_shape(compact.dims);
  weight.kept_rows = KeptRows{rows, static_cast<std::int32_t>(std::min(lanes, in)), whole.dims};
}

void prune_weights(Graph& graph, double sparsity, std::uint64_t seed) {
  expect_share("--sparsity", sparsity);
  if (sparsity == 0) return;
  Value& weight = graph.value(*graph.find_value("weight"));
  MutableTensor sparse(DType::float32, weight.constant->dims);
  for (const std::int64_t i : chosen(weight.constant->count(), 1 - sparsity, seed))
    sparse.f32()[static_cast<std::size_t>(i)] = weight.constant->f32()[static_cast<std::size_t>(i)];
  weight.constant = sparse;
}

std::size_t conv_step(const plan::Plan& plan) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    if (std::holds_alternative<plan::ConvStep>(plan.steps[i].work)) return i;
  }
  throw Error("layer: has no outputs; expected at least one");
}

std::vector<double> exact(const plan::ConvStep& work, const Graph& graph, const float* in, ThreadPool& pool) {
  ConvShape s = work.shape;
  s.batch = 1;
  std::vector<double> out(static_cast<std::size_t>(s.out_channels * s.out_pixels()));
  const Tensor dense = real_weights(graph.value(*graph.find_value("weight")));
  const float* weight = dense.f32().data();
  const float* bias = graph.constant(*graph.find_value("bias"))->f32().data();
  ConvShape one = s;  // one output channel, of one group
  one.groups = one.out_channels = 1;
  one.in_channels = s.group_in();
  const auto channel = [&](std::int64_t o, int) {
    conv_oracle(one, in + o / s.group_out() * s.group_in() * s.in_h * s.in_w, weight + o * s.k(), bias + o, nullptr, work.activation,
                out.data() + o * s.out_pixels());
  };
  if (pool.threads() > 1 && pool.try_acquire()) {
    pool.run(s.out_channels, channel);
    pool.release();
  } else {
    for (std::int64_t o = 0; o < s.out_channels; ++o) channel(o, 0);
  }
  return out;
}

void judge(const std::vector<float>& got, const std::vector<double>& expected, ConvReport& report) {
  double worst = 0, largest = 1, squares = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double off = std::fabs(got[i] - expected[i]);
    worst = off > worst || std::isnan(off) ? off : worst;
    largest = std::max(largest, std::fabs(expected[i]));
    squares += off * off;
  }
  report.max_rel_error = worst / largest;
  report.mse = squares / static_cast<double>(std::max<std::size_t>(1, expected.size()));
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace konv::api
