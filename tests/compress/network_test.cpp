// Whole networks made smaller: close to the float ones, the same for any number of threads, and clear errors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <konv/error.hpp>

#include "engine/base/half.h"
#include "engine/compress/narrow.h"
#include "engine/compress/prune.h"
#include "engine/compress/quantize.h"
#include "engine/compress/restore.h"
#include "engine/compress/settings.h"
#include "engine/compress/targets.h"
#include "engine/format/format.h"
#include "engine/run/context.h"
#include "engine/run/network.h"
#include "tests/support/random_graph.h"

namespace konv::test {
namespace {

using namespace konv::compress;

constexpr std::int64_t kImages = 48;

/// conv, residual block, shortcut by max pooling, depthwise, mean, fully connected.
Graph small_network() {
  Rng rng(1);
  Graph graph;
  const konv::Activation relu{ActivationKind::relu, 0, 0};
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, 12, 12});
  const ValueId a = add_conv(graph, rng, "a", x, 3, 16, {.pads = {1, 1, 1, 1}, .activation = relu});
  const ValueId b = add_conv(graph, rng, "b", a, 16, 16, {.pads = {1, 1, 1, 1}, .activation = relu});
  const ValueId c = add_conv(graph, rng, "c", b, 16, 16, {.pads = {1, 1, 1, 1}, .activation = relu});
  Node& node = graph.mutable_node(graph.producer(c));
  node.inputs.push_back(a);
  graph.refresh_index();
  const ValueId pooled = graph.add("pool", Pool{.kind = PoolKind::max, .kernel = {2, 2}, .window = {.strides = {2, 2}}}, {c});
  const ValueId d = add_conv(graph, rng, "d", pooled, 16, 16, {.pads = {1, 1, 1, 1}, .groups = 16, .activation = relu});
  const ValueId e = add_conv(graph, rng, "e", d, 16, 24, {.kernel = {1, 1}, .activation = relu});
  const ValueId mean = graph.add("mean", Reduce{.kind = ReduceKind::mean, .axes = {2, 3}, .keep_dims = false}, {e});
  graph.add_output(
      graph.add("fc", Gemm{.transpose_b = true},
                {mean, graph.add_constant("w", random_tensor(rng, {10, 24})), graph.add_constant("v", random_tensor(rng, {10}))}));
  verify(graph);
  return graph;
}

/// Smooth images: neighbours depend on each other, as in pictures.
Samples pictures(std::int64_t images, unsigned seed) {
  Rng rng(seed);
  Samples samples = make_samples(DType::float32, {3, 12, 12}, images);
  for (std::int64_t n = 0; n < images; ++n) {
    for (std::int64_t c = 0; c < 3; ++c) {
      const float fx = rng.real(0.1f, 0.9f), fy = rng.real(0.1f, 0.9f), phase = rng.real(0, 6), size = rng.real(0.2f, 2.0f);
      for (std::int64_t i = 0; i < 144; ++i)
        samples.f32(n)[c * 144 + i] =
            size * std::sin(fx * static_cast<float>(i % 12) + fy * static_cast<float>(i / 12) + phase) + rng.real(-0.1f, 0.1f);
    }
  }
  return samples;
}

std::vector<float> outputs(const Graph& graph, const Samples& images) {
  run::Network network(graph);
  Dims dims = images.dims;
  dims.insert(dims.begin(), images.images);
  run::Context context(network.executable({dims}, Machine::typical(choose_isa().isa), {}), 1);
  context.set_input(0, images.bytes.get());
  context.run(nullptr);
  std::vector<float> result(static_cast<std::size_t>(context.output_bytes(0)) / sizeof(float));
  context.get_output(0, result.data());
  return result;
}

/// Signal to noise in dB.
double quality(const std::vector<float>& a, const std::vector<float>& reference) {
  double noise = 0, signal = 0, mean = 0;
  for (const float x : reference) mean += static_cast<double>(x) / static_cast<double>(reference.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    noise += std::pow(static_cast<double>(a[i]) - static_cast<double>(reference[i]), 2);
    signal += std::pow(static_cast<double>(reference[i]) - mean, 2);
  }
  return 10 * std::log10(signal / noise);
}

Graph quantized(const Graph& graph, int weights, int activations, int threads = 1, const QuantizeSettings& base = {}) {
  ThreadPool pool(threads);
  const Streams streams(kImages, pool, Machine::typical(choose_isa().isa));
  QuantizeSettings settings = base;
  settings.layers.weight_bits = weights;
  settings.layers.activation_bits = activations;
  return compress::quantize(graph, graph, pictures(kImages, 5), streams, settings, {}, nullptr);
}

Graph pruned(const Graph& graph, double share, std::int64_t granularity, int threads = 1, PruneKind kind = PruneKind::k_rows) {
  ThreadPool pool(threads);
  const Streams streams(kImages, pool, Machine::typical(choose_isa().isa));
  return compress::prune(graph, pictures(kImages, 5), streams, {share, granularity, kind}, {}, nullptr);
}

int count_values(const Graph& graph, DType type) {
  int count = 0;
  for (int v = 0; v < graph.value_count(); ++v) count += graph.value({v}).dtype == type && graph.value({v}).quantization.has_value();
  return count;
}

TEST_CASE("fewer bits, less like the float network, but like it") {
  const Graph graph = small_network();
  const Samples images = pictures(32, 9);
  const std::vector<float> reference = outputs(graph, images);
  const double w16 = quality(outputs(quantized(graph, 16, 16), images), reference);
  const double w8 = quality(outputs(quantized(graph, 8, 8), images), reference);
  const double w4 = quality(outputs(quantized(graph, 4, 8), images), reference);
  const double w2 = quality(outputs(quantized(graph, 2, 8), images), reference);
  CHECK(w16 > 60);
  CHECK(w8 > 25);
  CHECK(w4 > 15);
  CHECK(w2 > 5);
  CHECK(w16 > w8);
  CHECK(w8 > w4);
  CHECK(w4 > w2);
}

TEST_CASE("weights alone can be quantized") {
  const Graph graph = small_network();
  const Graph small = quantized(graph, 4, 0);
  CHECK(count_values(small, DType::uint8) == 0);
  CHECK(count_values(small, DType::int4) == 4);  // the first and the last layer have 8 bits
  const Samples images = pictures(32, 9);
  CHECK(quality(outputs(small, images), outputs(graph, images)) > 15);
}

TEST_CASE("the chain stays in integers, skips in 8 bits") {
  const Graph small = quantized(small_network(), 4, 4);
  CHECK(count_values(small, DType::int4) == 4);
  CHECK(count_values(small, DType::int8) == 2);
  CHECK(count_values(small, DType::uint4) > 0);
  int floats = 0;
  for (const NodeId id : small.nodes()) floats += !small.value(small.node(id).output()).quantization.has_value();
  CHECK(floats == 1);  // the output
}

TEST_CASE("the number of threads changes no byte") {
  const Graph graph = small_network();
  const std::vector<std::byte> alone = format::serialize(quantized(graph, 4, 4, 1)),
                               together = format::serialize(quantized(graph, 4, 4, 3));
  CHECK(alone == together);
  for (const PruneKind kind : {PruneKind::k_rows, PruneKind::channels, PruneKind::unstructured})
    CHECK(format::serialize(pruned(graph, 0.4, 1, 1, kind)) == format::serialize(pruned(graph, 0.4, 1, 3, kind)));
}

TEST_CASE("a config keeps layers in float32 and gives others their bits") {
  QuantizeSettings settings;
  apply_config(
      settings,
      R"({"skips": "int8", "layers": {"b": {"weights": "float32"}, "c": {"weights": "int2", "activations": "int4", "calibrator": "minmax"}}})");
  const Graph graph = small_network();
  ThreadPool pool(1);
  const Streams streams(kImages, pool, Machine::typical(choose_isa().isa));
  std::vector<LayerReport> report;
  const Graph small = compress::quantize(graph, graph, pictures(kImages, 5), streams, settings, {}, &report);
  CHECK(count_values(small, DType::int2) == 1);
  CHECK(count_values(small, DType::int8) == 4);
  REQUIRE(report.size() == 5);
  CHECK(report[1].name == "c");
  CHECK(report[1].calibrator == "minmax");
  double share = 0;
  for (const LayerReport& layer : report) share += layer.noise_share;
  CHECK(std::fabs(share - 1) < 1e-9);
  const Samples images = pictures(32, 9);
  CHECK(quality(outputs(small, images), outputs(graph, images)) > 5);
}

TEST_CASE("pruned rows are gone, and the rest makes up for them") {
  const Graph graph = small_network();
  const Samples images = pictures(32, 9);
  const std::vector<float> reference = outputs(graph, images);
  for (const std::int64_t granularity : {1, 4}) {
    CAPTURE(granularity);
    const Graph small = pruned(graph, 0.4, granularity);
    double all = 0, kept = 0;
    for (const NodeId id : small.nodes()) {
      const auto* conv = small.as<Conv>(id);
      if (!conv || conv->groups > 1) continue;
      const Value& weight = small.value(small.node(id).input(Conv::kWeight));
      const Dims& dims = weight.kept_rows ? weight.kept_rows->dense_dims : weight.constant->dims;
      const double pixels = small.node(id).name == "e" ? 36 : 144;
      all += pixels * static_cast<double>(element_count(dims));
      kept += pixels * static_cast<double>(weight.constant->count());
    }
    CHECK(kept / all < 0.605);
    CHECK(kept / all > 0.5);
    CHECK(quality(outputs(small, images), reference) > 10);
    // And then in integers, imitating the unpruned network.
    ThreadPool pool(1);
    const Streams streams(kImages, pool, Machine::typical(choose_isa().isa));
    QuantizeSettings settings;
    const Graph both = compress::quantize(small, with_weights_of(small, graph), pictures(kImages, 5), streams, settings, {}, nullptr);
    CHECK(quality(outputs(both, images), reference) > 9);
    CHECK(count_values(both, DType::int8) == 6);
  }
}

std::int64_t conv_macs(const Graph& graph, bool nonzero) {
  std::int64_t macs = 0;
  for (const NodeId id : graph.nodes()) {
    if (!graph.as<Conv>(id)) continue;
    const Layer layer = *layer_of(graph, id);
    const ConvShape shape = layer_shape(graph, layer);
    const std::span<const float> weights = graph.constant(layer.weight)->f32();
    macs += nonzero ? shape.out_pixels() * std::count_if(weights.begin(), weights.end(), [](float x) { return x != 0; }) : shape.macs();
  }
  return macs;
}

TEST_CASE("whole channels leave with what reads them, through a residual, a pool and a depthwise convolution") {
  const Graph graph = small_network();
  const Graph small = pruned(graph, 0.3, 1, 1, PruneKind::channels);
  CHECK(conv_macs(small, false) <= 0.7 * static_cast<double>(conv_macs(graph, false)));
  CHECK(conv_macs(small, false) > 0.5 * static_cast<double>(conv_macs(graph, false)));
  std::map<std::string, ConvShape> shapes;
  for (const NodeId id : small.nodes()) {
    if (const std::optional<Layer> layer = layer_of(small, id)) shapes[small.node(id).name] = layer_shape(small, *layer);
  }
  CHECK(shapes.at("a").out_channels == shapes.at("c").out_channels);  // they are added
  CHECK(shapes.at("d").groups == shapes.at("c").out_channels);
  CHECK(shapes.at("e").in_channels == shapes.at("d").out_channels);
  CHECK(shapes.at("b").in_channels == shapes.at("a").out_channels);
  CHECK(shapes.at("fc").out_channels == 10);
  const Samples images = pictures(32, 9);
  CHECK(quality(outputs(small, images), outputs(graph, images)) > 5);
}

TEST_CASE("single weights become zero") {
  const Graph graph = small_network();
  const Graph small = pruned(graph, 0.5, 1, 1, PruneKind::unstructured);
  const double share = static_cast<double>(conv_macs(small, true)) / static_cast<double>(conv_macs(graph, true));
  CHECK(share < 0.53);  // the depthwise convolution keeps its weights
  CHECK(share > 0.45);
  const Samples images = pictures(32, 9);
  CHECK(quality(outputs(small, images), outputs(graph, images)) > 10);
}

TEST_CASE("a quantized network can be pruned: restored, pruned, and put back into its bits") {
  const Graph graph = small_network();
  QuantizeSettings settings;
  apply_config(settings, R"({"layers": {"b": {"weights": "int4"}, "fc": {"weights": "float32"}}})");
  const Graph small = quantized(graph, 8, 8, 1, settings);
  const Graph real = restored(small);
  CHECK_FALSE(is_quantized(real));
  const Samples images = pictures(32, 9);
  CHECK(quality(outputs(real, images), outputs(graph, images)) > 15);
  const QuantizeSettings again = settings_of(small);
  CHECK(again.named.at("b").weight_bits == 4);
  CHECK(again.named.at("a").weight_bits == 8);
  CHECK(again.named.at("fc").weight_bits == 0);
  CHECK(again.skip_bits == 8);
}

TEST_CASE("16-bit weights take half the storage and compute as float32") {
  const Graph graph = small_network();
  const Samples images = pictures(32, 9);
  const std::vector<float> reference = outputs(graph, images);
  const std::size_t whole = format::serialize(graph).size();
  for (const auto& [type, least] : {std::pair{DType::float16, 55.0}, std::pair{DType::bfloat16, 38.0}}) {
    CAPTURE(name(type));
    QuantizeSettings settings;
    set_types(settings.layers, "--weights", type, DType::float32);
    CHECK_FALSE(needs_calibration(settings));
    ThreadPool pool(1);
    const Streams none(0, pool, Machine::typical(choose_isa().isa));
    const Graph small = compress::quantize(graph, graph, {}, none, settings, {}, nullptr);
    CHECK(count_values(small, type) == 6);
    CHECK(format::serialize(small).size() < 0.75 * static_cast<double>(whole));
    CHECK(quality(outputs(small, images), reference) > least);
  }
  // Every float16 there is comes back as itself; halfway cases go to even.
  Graph single;
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) values.push_back(float_from_half(static_cast<std::uint16_t>(bits)));
  values.push_back(1 + 1.0f / 2048);  // halfway between 1 and its neighbour
  values.push_back(1 + 3.0f / 2048);
  const std::int64_t count = std::ssize(values);
  const ValueId x = single.add_input("x", DType::float32, {Dim::symbol("N"), Dim(count)});
  single.add_output(single.add("y", Gemm{.transpose_b = true}, {x, single.add_constant("w", make_f32({1, count}, values))}));
  verify(single);
  const NodeId node = single.nodes().front();
  CHECK(narrow_weight(single, node, DType::float16) > 60);
  const std::vector<float> narrow = to_f32(*single.constant(single.node(node).input(1)));
  for (std::size_t i = 0; i < 0x7c00; ++i) REQUIRE(narrow[i] == values[i]);
  CHECK(narrow[0x7c00] == 1);
  CHECK(narrow[0x7c01] == 1 + 2.0f / 1024);
}

TEST_CASE("a target with room: where the activation is flat, the nearest number will do") {
  Samples wanted = make_samples(DType::float32, {4}, 1), given = make_samples(DType::float32, {4}, 1);
  const float want[] = {-1, -1, 2, 7}, is[] = {-3, 1, -5, 9};
  std::copy_n(want, 4, wanted.f32(0));
  std::copy_n(is, 4, given.f32(0));
  const Samples relu = nearest_wanted(wanted, given, {ActivationKind::relu, 0, 0});
  CHECK(std::vector<float>(relu.f32(0), relu.f32(0) + 4) == std::vector<float>{-3, 0, 2, 7});
  const Samples clip = nearest_wanted(wanted, given, {ActivationKind::clip, 0, 6});
  CHECK(std::vector<float>(clip.f32(0), clip.f32(0) + 4) == std::vector<float>{-3, 0, 2, 9});
  CHECK_FALSE(has_flat_parts({ActivationKind::none, 0, 0}));
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST_CASE("wrong use is a clear error") {
  const Graph graph = small_network();
  QuantizeSettings settings;
  CHECK(error_of([&] { apply_config(settings, R"({"layers": {"a": {"weights": "int3"}}})"); }).find("int3") != std::string::npos);
  CHECK(error_of([&] { apply_config(settings, "{"); }).find("--config: is no JSON") != std::string::npos);
  settings.named["nobody"] = {};
  CHECK(error_of([&] { quantized(graph, 8, 8, 1, settings); }).find("layer 'nobody' is not in the model") != std::string::npos);
  CHECK(error_of([&] { quantized(graph, 4, 16); }).find("4-bit weights with 16-bit activations have no kernel") != std::string::npos);
  Graph infinite = graph;
  Node& node = infinite.mutable_node(infinite.nodes().front());
  node.inputs[2] = infinite.add_constant("nan", make_f32({16}, std::vector<float>(16, NAN)));
  infinite.refresh_index();
  CHECK(error_of([&] { quantized(infinite, 8, 8); }).find("node 'a' (Conv): gives nan") != std::string::npos);
  CHECK(error_of([&] { pruned(quantized(graph, 8, 8), 0.5, 1); }).find("is quantized; expected a float model") != std::string::npos);
  Graph other;
  Rng rng(1);
  other.add_output(add_conv(other, rng, "a", other.add_input("x", DType::float32, {Dim::symbol("N"), 3, 12, 12}), 3, 8));
  verify(other);
  CHECK(error_of([&] {
          with_weights_of(graph, other);
        }).find("node 'a' (Conv): its weight is 16x3x3x3 here and 8x3x3x3 in the reference") != std::string::npos);
}

}  // namespace
}  // namespace konv::test
