#include "tests/support/random_graph.h"

namespace konv::test {

Tensor random_tensor(Rng& rng, Dims dims, float low, float high) {
  const std::vector<float> values = rng.reals(element_count(dims), low, high);
  return make_f32(std::move(dims), values);
}

std::map<std::string, Tensor> random_inputs(Rng& rng, const Graph& graph, std::int64_t unknown) {
  std::map<std::string, Tensor> inputs;
  for (const ValueId id : graph.inputs()) {
    const Value& value = graph.value(id);
    Dims dims;
    for (const Dim& dim : *value.shape) dims.push_back(dim.known() ? dim.value() : unknown);
    inputs[value.name] = random_tensor(rng, dims);
  }
  return inputs;
}

Ints same_pads(const Ints& kernel) {
  Ints pads;
  for (const std::int64_t k : kernel) pads.push_back(k / 2);
  for (const std::int64_t k : kernel) pads.push_back(k / 2);
  return pads;
}

ValueId add_conv(Graph& graph, Rng& rng, const std::string& name, ValueId input, std::int64_t in_channels, std::int64_t out_channels,
                 const ConvOptions& options) {
  Dims dims{out_channels, in_channels / options.groups};
  dims.insert(dims.end(), options.kernel.begin(), options.kernel.end());
  std::vector<ValueId> inputs{input, graph.add_constant(name + ".weight", random_tensor(rng, dims))};
  if (options.bias) inputs.push_back(graph.add_constant(name + ".bias", random_tensor(rng, {out_channels})));
  Conv conv;
  conv.window = {options.strides, options.pads, options.dilations, options.auto_pad};
  conv.groups = options.groups;
  conv.activation = options.activation;
  return graph.add(name, conv, inputs);
}

ValueId add_batch_norm(Graph& graph, Rng& rng, const std::string& name, ValueId input, std::int64_t channels) {
  const ValueId gamma = graph.add_constant(name + ".weight", random_tensor(rng, {channels}, 0.5f, 1.5f));
  const ValueId beta = graph.add_constant(name + ".bias", random_tensor(rng, {channels}));
  const ValueId mean = graph.add_constant(name + ".running_mean", random_tensor(rng, {channels}));
  const ValueId variance = graph.add_constant(name + ".running_var", random_tensor(rng, {channels}, 0.25f, 2.0f));
  return graph.add(name, BatchNorm{}, {input, gamma, beta, mean, variance});
}

ValueId add_relu(Graph& graph, const std::string& name, ValueId input) { return graph.add(name, Unary{{ActivationKind::relu}}, {input}); }

ValueId add_sum(Graph& graph, const std::string& name, ValueId a, ValueId b) { return graph.add(name, Binary{}, {a, b}); }

Graph conv_bn_relu(Rng& rng, std::int64_t in_channels, std::int64_t out_channels, std::int64_t size) {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1, in_channels, size, size});
  const ValueId conv = add_conv(graph, rng, "conv", x, in_channels, out_channels, {.pads = {1, 1, 1, 1}});
  graph.add_output(add_relu(graph, "relu", add_batch_norm(graph, rng, "bn", conv, out_channels)));
  return graph;
}

Graph residual_block(Rng& rng, std::int64_t channels, std::int64_t size, std::int64_t stride) {
  Graph graph;
  const std::int64_t wide = channels * stride;
  const ValueId x = graph.add_input("x", DType::float32, {1, channels, size, size});
  ValueId main = add_conv(graph, rng, "conv1", x, channels, wide, {.strides = {stride, stride}, .pads = {1, 1, 1, 1}, .bias = false});
  main = add_relu(graph, "relu1", add_batch_norm(graph, rng, "bn1", main, wide));
  main = add_conv(graph, rng, "conv2", main, wide, wide, {.pads = {1, 1, 1, 1}, .bias = false});
  main = add_batch_norm(graph, rng, "bn2", main, wide);
  ValueId shortcut = x;
  if (stride != 1) {
    shortcut = add_conv(graph, rng, "downsample.0", x, channels, wide, {.kernel = {1, 1}, .strides = {stride, stride}, .bias = false});
    shortcut = add_batch_norm(graph, rng, "downsample.1", shortcut, wide);
  }
  graph.add_output(add_relu(graph, "relu2", add_sum(graph, "add", main, shortcut)));
  return graph;
}

Graph repvgg_block(Rng& rng, const RepVggOptions& o) {
  Graph graph;
  const Ints strides{o.stride, o.stride};
  const ValueId x = graph.add_input("x", DType::float32, {1, o.channels, o.size, o.size});
  ValueId dense = add_conv(graph, rng, "dense", x, o.channels, o.channels,
                           {.strides = strides, .pads = {1, 1, 1, 1}, .groups = o.groups, .bias = !o.batch_norm});
  ValueId pointwise = add_conv(graph, rng, "pointwise", x, o.channels, o.channels,
                               {.kernel = {1, 1}, .strides = strides, .groups = o.groups, .bias = !o.batch_norm});
  ValueId identity = x;
  if (o.batch_norm) {
    dense = add_batch_norm(graph, rng, "dense.bn", dense, o.channels);
    pointwise = add_batch_norm(graph, rng, "pointwise.bn", pointwise, o.channels);
    if (o.identity) identity = add_batch_norm(graph, rng, "identity.bn", x, o.channels);
  }
  ValueId sum = add_sum(graph, "sum", dense, pointwise);
  if (o.identity) sum = add_sum(graph, "sum.identity", sum, identity);
  graph.add_output(add_relu(graph, "relu", sum));
  return graph;
}

}  // namespace konv::test
