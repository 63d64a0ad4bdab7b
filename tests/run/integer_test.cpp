// Quantized graphs through plan and run against the integer oracle: the same bits on every instruction set, thread count and batch size.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <konv/error.hpp>

#include "engine/base/thread_pool.h"
#include "engine/run/context.h"
#include "engine/run/network.h"
#include "engine/run/tune.h"
#include "kernels/base/isa.h"
#include "tests/support/integer_reference.h"
#include "tests/support/random_graph.h"

namespace konv::test {
namespace {

std::vector<Isa> isas_here() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_vnni, Isa::avx512_amx}) {
    if (isa <= choose_isa().isa) isas.push_back(isa);
  }
  return isas;
}

std::vector<Tensor> run_on(const Graph& graph, const std::map<std::string, Tensor>& inputs, Isa isa, ThreadPool* pool,
                           std::vector<std::string>& kernels, const plan::Options& options = {}) {
  std::vector<Dims> shapes;
  for (const ValueId id : graph.inputs()) shapes.push_back(inputs.at(graph.value(id).name).dims);
  run::Network network(graph);
  run::Context context(network.executable(shapes, Machine::typical(isa), options), pool ? pool->threads() : 1);
  std::vector<Tensor> outputs;
  const plan::Plan& plan = context.executable().plan();
  for (const plan::Step& step : plan.steps) kernels.push_back(step.kernel);
  for (int repeat = 0; repeat < 2; ++repeat) {  // a second run finds the first one's rubbish in the arena
    for (std::size_t i = 0; i < graph.inputs().size(); ++i)
      context.set_input(i, inputs.at(graph.value(graph.inputs()[i]).name).bytes.get());
    context.run(pool);
    outputs.clear();
    for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
      const plan::Value& value = plan.values[static_cast<std::size_t>(plan.outputs[i])];
      MutableTensor tensor(value.layout.dtype, value.dims);
      context.get_output(i, tensor.bytes.get());
      outputs.push_back(tensor);
    }
  }
  return outputs;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dtype == b.dtype && a.dims == b.dims && std::memcmp(a.bytes.get(), b.bytes.get(), static_cast<std::size_t>(a.size_bytes())) == 0;
}

/// Every instruction set, alone and on two threads. Returns the kernels of the last.
std::vector<std::string> check_bits(const Graph& source, const std::map<std::string, Tensor>& inputs) {
  Graph graph = source;
  verify(graph);
  const std::vector<Tensor> expected = run_integer_reference(graph, inputs);
  ThreadPool pool(2);
  std::vector<std::string> kernels;
  for (const Isa isa : isas_here()) {
    const std::string isa_name = name(isa);
    CAPTURE(isa_name);
    for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
      kernels.clear();
      const std::vector<Tensor> actual = run_on(graph, inputs, isa, threads, kernels);
      REQUIRE(actual.size() == expected.size());
      for (std::size_t i = 0; i < actual.size(); ++i) {
        CAPTURE(i);
        CHECK(same_bits(actual[i], expected[i]));
      }
    }
  }
  return kernels;
}

std::vector<std::string> check_bits(const Graph& graph, unsigned seed, std::int64_t batch = 2) {
  Rng rng(seed);
  return check_bits(graph, random_inputs(rng, graph, batch));
}

void quantize(Graph& graph, ValueId id, DType type, float scale, std::int32_t zero) {
  graph.value(id).dtype = type;
  graph.value(id).quantization = Quantization{{scale}, {zero}, 0};
}

ValueId to_integers(Graph& graph, const std::string& name, ValueId from, DType type, float scale, std::int32_t zero) {
  const ValueId id = graph.add(name, Identity{}, {from});
  quantize(graph, id, type, scale, zero);
  return id;
}

/// Weights of `type`, extremes included, one scale per output channel along `axis`.
ValueId integer_weight(Graph& graph, Rng& rng, const std::string& name, Dims dims, DType type, std::int32_t axis = 0) {
  const int width = bits(type);
  MutableTensor tensor(type, dims);
  const std::int64_t count = element_count(dims), most = (std::int64_t{1} << (width - 1)) - 1;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t w = rng.chance(0.1) ? (rng.chance(0.5) ? -most - 1 : most) : rng.integer(-most, most);
    auto* bytes = reinterpret_cast<std::uint8_t*>(tensor.bytes.get());
    if (width == 16) {
      reinterpret_cast<std::int16_t*>(bytes)[i] = static_cast<std::int16_t>(w);
    } else {
      const int per_byte = 8 / width, shift = width * static_cast<int>(i % per_byte);
      bytes[i / per_byte] = static_cast<std::uint8_t>(bytes[i / per_byte] | (static_cast<unsigned>(w) & ((1u << width) - 1)) << shift);
    }
  }
  const ValueId id = graph.add_constant(name, tensor);
  Quantization q;
  q.axis = axis;
  for (std::int64_t o = 0; o < dims[static_cast<std::size_t>(axis)]; ++o) {
    q.scale.push_back(rng.real(0.5f, 1.5f) / static_cast<float>(most + 1));
    q.zero_point.push_back(0);
  }
  graph.value(id).quantization = q;
  return id;
}

struct Layer {
  std::int64_t in, out, kernel = 3, stride = 1, groups = 1;
  DType weights = DType::int8, type = DType::uint8;
  float scale = 0.02f;
  std::int32_t zero = 0;
  Activation activation = {};
  ValueId residual = {};
  bool bias = true;
};

ValueId conv(Graph& graph, Rng& rng, const std::string& name, ValueId x, const Layer& l) {
  const std::int64_t pad = l.kernel / 2;
  const ValueId w = integer_weight(graph, rng, name + ".weight", {l.out, l.in / l.groups, l.kernel, l.kernel}, l.weights);
  const ValueId b = l.bias ? graph.add_constant(name + ".bias", make_f32({l.out}, rng.reals(l.out))) : ValueId{};
  const ValueId y = graph.add(
      name, Conv{.window = {.strides = {l.stride, l.stride}, .pads = {pad, pad, pad, pad}}, .groups = l.groups, .activation = l.activation},
      {x, w, b, l.residual});
  if (l.type != DType::float32) quantize(graph, y, l.type, l.scale, l.zero);
  return y;
}

constexpr Activation kRelu{ActivationKind::relu, 0, 0};

TEST_CASE("integer convolutions give the oracle's bits on rows of every length") {
  std::vector<std::int64_t> widths = {31, 33, 50};
  for (std::int64_t width = 1; width <= 18; ++width) widths.push_back(width);
  for (const std::int64_t width : widths) {
    CAPTURE(width);
    Rng rng(static_cast<unsigned>(width));
    const std::int64_t height = width % 2 ? 3 : 4;  // two rows are computed together where they are short
    const DType byte = DType::uint8;
    Graph graph;
    const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 16, height, width});
    const ValueId q = to_integers(graph, "q", x, byte, 0.0078f, 128);
    const ValueId a = conv(graph, rng, "a", q, {16, 64, 3, 1, 1, DType::int8, byte, 0.1f, 0, kRelu});
    const ValueId b = conv(graph, rng, "b", a, {64, 64, 1, 1, 1, DType::int8, byte, 0.4f, 100});
    const ValueId c = conv(graph, rng, "c", b, {64, 32, 3, 1, 1, DType::int4, byte, 0.5f, 40, kRelu});
    const ValueId d = conv(graph, rng, "d", c, {32, 64, 3, 1, 1, DType::int8, byte, 1.0f, 0, kRelu, a});
    const ValueId e = conv(graph, rng, "e", d, {64, 64, 3, 1, 1, DType::int8, byte, 2.0f, 90, {}, b});
    const ValueId largest =
        graph.add("largest", Pool{.kind = PoolKind::max, .kernel = {2, 3}, .window = {.strides = {2, 1}, .pads = {1, 1, 1, 1}}}, {e});
    quantize(graph, largest, byte, 2.0f, 90);  // the input's own scale
    graph.add_output(largest);
    const ValueId pixels = graph.add_input("pixels", DType::float32, {Dim::symbol("N"), 3, height + 5, width});
    const ValueId bytes = to_integers(graph, "bytes", pixels, byte, 0.0078f, 120);
    graph.add_output(conv(graph, rng, "first", bytes, {3, 32, 7, 2, 1, DType::int8, byte, 0.1f, 10}));
    graph.add_output(conv(graph, rng, "five", d, {64, 48, 5, 2, 1, DType::int8, byte, 2.0f, 80}));
    graph.add_output(conv(graph, rng, "f", e, {64, 48, 1, 2, 1, DType::int8, byte, 4.0f, 3}));
    graph.add_output(conv(graph, rng, "g", e, {64, 16, 3, 2, 1, DType::int8, DType::float32}));
    check_bits(graph, 40 + static_cast<unsigned>(width));
  }
}

double free_of_charge(const IntegerConvShape&, const Machine&) { return 0; }

/// Layers of every kind, images of `type`.
Graph all_kinds(Rng& rng, DType type) {
  Graph graph;
  const bool bytes = type == DType::uint8;
  const float narrower = bytes ? 1 : 128;  // steps of 16-bit images
  const auto zero = [&](std::int32_t of_bytes) { return bytes ? of_bytes : 0; };
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, 9, 13});
  const ValueId q = to_integers(graph, "q", x, type, 0.0078f / narrower, zero(128));
  const ValueId first = conv(graph, rng, "first", q, {3, 40, 3, 1, 1, DType::int8, type, 0.05f / narrower, zero(60)});
  const ValueId wide = conv(graph, rng, "wide", first, {40, 400, 1, 1, 1, DType::int8, type, 0.1f / narrower, zero(0), kRelu});
  const ValueId narrow =
      conv(graph, rng, "narrow", wide, {400, 80, 1, 1, 1, DType::int4, type, 1.0f / narrower, zero(100)});  // two panels of weights
  const ValueId taps = conv(graph, rng, "taps", narrow, {80, 80, 3, 1, 1, DType::int8, type, 2.0f / narrower, zero(30), {}, narrow});
  const ValueId clipped = conv(graph, rng, "clipped", taps,
                               {80, 48, 1, 1, 1, DType::int8, type, 2.0f / narrower, zero(90), {ActivationKind::clip, -5.0f, 40.0f}});
  const ValueId added = conv(graph, rng, "added", clipped, {48, 48, 3, 1, 1, DType::int8, type, 2.0f / narrower, zero(0), kRelu, clipped});
  const ValueId strided = conv(graph, rng, "strided", added, {48, 112, 1, 2, 1, DType::int2, type, 4.0f / narrower, zero(7)});
  const ValueId groups = conv(graph, rng, "groups", strided, {112, 224, 3, 2, 7, DType::int8, type, 4.0f / narrower, zero(7)});
  const ValueId swish = conv(graph, rng, "swish", groups,
                             {224, 33, 3, 1, 1, DType::int8, type, 8.0f / narrower, zero(9), {ActivationKind::hard_swish, 0, 0}});
  graph.add_output(conv(graph, rng, "depthwise", swish, {33, 33, 3, 1, 33, DType::int8, type, 8.0f / narrower, zero(9)}));
  graph.add_output(conv(graph, rng, "real", swish, {33, 50, 1, 1, 1, DType::int8, DType::float32}));
  verify(graph);
  return graph;
}

TEST_CASE("every integer convolution kernel gives the oracle's bits wherever it takes a layer") {
  for (const DType type : {DType::uint8, DType::int16}) {
    Rng rng(17);
    const Graph graph = all_kinds(rng, type);
    const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 2);
    const std::vector<Tensor> expected = run_integer_reference(graph, inputs);
    ThreadPool pool(2);
    for (const IntegerConvKernel& kernel : integer_conv_kernels()) {
      if (kernel.isa > choose_isa().isa) continue;
      const std::string kernel_name = kernel.name;
      CAPTURE(kernel_name);
      std::vector<IntegerConvKernel> kernels(integer_conv_kernels().begin(), integer_conv_kernels().end());
      for (IntegerConvKernel& each : kernels) {
        if (each.name == kernel_name) each.cost = free_of_charge;
      }
      for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
        std::vector<std::string> chosen;
        const std::vector<Tensor> actual = run_on(graph, inputs, kernel.isa, threads, chosen, {.integer_conv_kernels = kernels});
        for (std::size_t i = 0; i < actual.size(); ++i) CHECK(same_bits(actual[i], expected[i]));
        const bool any = kernel_name == "conv_integer_reference", pruned = kernel_name.find("kept") != std::string::npos;
        const bool fits = (kernel_name.find("s16") != std::string::npos) == (type == DType::int16);
        CHECK((any || (fits && !pruned)) == (std::find(chosen.begin(), chosen.end(), kernel_name) != chosen.end()));
      }
    }
  }
}

TEST_CASE("integer networks give the oracle's bits") {
  for (const std::int64_t channels : {16, 32, 48, 20, 64}) {
    CAPTURE(channels);
    Rng rng(static_cast<unsigned>(channels));
    Graph graph;
    const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, 18, 14});
    const ValueId q = to_integers(graph, "q", x, DType::uint8, 0.0078f, 128);
    const ValueId a = conv(graph, rng, "a", q, {3, channels, 3, 1, 1, DType::int8, DType::uint8, 0.03f, 0, kRelu});
    const ValueId b = conv(graph, rng, "b", a, {channels, channels, 3, 1, 1, DType::int8, DType::uint8, 0.2f, 120});
    const ValueId c = conv(graph, rng, "c", b, {channels, channels, 3, 1, 1, DType::int4, DType::uint8, 0.3f, 0, kRelu, a});
    const ValueId narrow = to_integers(graph, "narrow", c, DType::uint4, 2.0f, 0);
    const ValueId d = conv(graph, rng, "d", narrow, {channels, channels, 1, 1, 1, DType::int2, DType::uint4, 3.0f, 5});
    const ValueId pooled =
        graph.add("pool", Pool{.kind = PoolKind::max, .kernel = {3, 3}, .window = {.strides = {2, 2}, .pads = {1, 1, 1, 1}}}, {d});
    quantize(graph, pooled, DType::uint4, 3.0f, 5);
    const ValueId largest =
        graph.add("largest", Pool{.kind = PoolKind::max, .kernel = {3, 3}, .window = {.strides = {2, 2}, .pads = {1, 1, 1, 1}}}, {b});
    quantize(graph, largest, DType::uint8, 0.2f, 120);  // the input's own scale
    const ValueId average =
        graph.add("average", Pool{.kind = PoolKind::average, .kernel = {3, 3}, .window = {.strides = {2, 2}, .pads = {1, 1, 1, 1}}}, {c});
    quantize(graph, average, DType::uint8, 0.25f, 3);
    const ValueId e =
        conv(graph, rng, "e", c, {channels, channels, 3, 2, 1, DType::int8, DType::uint8, 0.5f, 7, {ActivationKind::clip, -1.0f, 20.0f}});
    const ValueId sum = graph.add("sum", Binary{.kind = BinaryKind::add, .activation = kRelu}, {average, e});
    quantize(graph, sum, DType::uint8, 0.4f, 0);
    const ValueId f = conv(graph, rng, "f", sum,
                           {channels, 2 * channels, 3, 1, 1, DType::int8, DType::uint8, 1.0f, 30, {ActivationKind::hard_swish, 0, 0}});
    const ValueId mean = graph.add("mean", Reduce{.kind = ReduceKind::mean, .axes = {2, 3}, .keep_dims = false}, {f});
    quantize(graph, mean, DType::uint8, 0.5f, 25);
    const ValueId w = integer_weight(graph, rng, "fc.weight", {10, 2 * channels}, DType::int8);
    const ValueId fc = graph.add("fc", Gemm{.transpose_b = true}, {mean, w, graph.add_constant("fc.bias", make_f32({10}, rng.reals(10)))});
    graph.add_output(fc);
    graph.add_output(pooled);
    graph.add_output(largest);
    graph.add_output(sum);
    graph.add_output(graph.add("real", Identity{}, {f}));
    const std::vector<std::string> kernels = check_bits(graph, 11);
    CHECK(std::none_of(kernels.begin(), kernels.end(), [](const std::string& k) { return k.find("reference") != std::string::npos; }));
  }
}

TEST_CASE("shortcuts of slices and pads stay integers") {
  Rng rng(2);
  Graph graph;
  const auto ints = [&](const char* label, std::vector<std::int64_t> v) { return graph.add_constant(label, make_i64({std::ssize(v)}, v)); };
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 16, 8, 8});
  const ValueId q = to_integers(graph, "q", x, DType::uint8, 0.01f, 100);
  const ValueId slice =
      graph.add("slice", Slice{}, {q, ints("starts", {0, 0}), ints("ends", {100, 100}), ints("axes", {2, 3}), ints("steps", {2, 2})});
  quantize(graph, slice, DType::uint8, 0.01f, 100);
  const ValueId pad = graph.add("pad", Pad{}, {slice, ints("pads", {0, 8, 0, 0, 0, 8, 0, 0})});
  quantize(graph, pad, DType::uint8, 0.01f, 100);
  const ValueId y = conv(graph, rng, "y", q, {16, 32, 3, 2, 1, DType::int8, DType::uint8, 0.1f, 0, kRelu, pad});
  graph.add_output(graph.add("real", Identity{}, {y}));
  graph.add_output(pad);
  check_bits(graph, 3, 3);
}

TEST_CASE("grouped, depthwise and 16-bit layers give the oracle's bits") {
  Rng rng(5);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 32, 9, 11});
  const ValueId q = to_integers(graph, "q", x, DType::uint8, 0.01f, 100);
  const ValueId a = conv(graph, rng, "depthwise", q, {32, 32, 3, 1, 32, DType::int8, DType::uint8, 0.05f, 90});
  const ValueId b = conv(graph, rng, "strided", a, {32, 32, 5, 2, 32, DType::int8, DType::uint8, 0.05f, 0, kRelu});
  const ValueId c = conv(graph, rng, "grouped", b, {32, 64, 3, 1, 2, DType::int8, DType::uint8, 0.2f, 50});
  const ValueId d = conv(graph, rng, "odd groups", c, {64, 24, 1, 1, 8, DType::int8, DType::float32});
  graph.add_output(d);
  const ValueId wide = to_integers(graph, "wide", x, DType::int16, 0.0001f, 0);
  const ValueId e = conv(graph, rng, "wide conv", wide, {32, 20, 3, 1, 1, DType::int16, DType::int16, 0.001f, 0, kRelu});
  const ValueId f = conv(graph, rng, "wide sum", e, {20, 20, 3, 1, 1, DType::int16, DType::int16, 0.01f, 0, {}, e});
  const ValueId mean = graph.add("mean", Reduce{.kind = ReduceKind::mean, .axes = {2, 3}, .keep_dims = true}, {f});
  quantize(graph, mean, DType::int16, 0.001f, 0);
  graph.add_output(mean);
  const ValueId g = conv(graph, rng, "wide depthwise", wide, {32, 32, 5, 2, 32, DType::int16, DType::int16, 0.001f, 0});
  graph.add_output(conv(graph, rng, "wide groups", g, {32, 64, 3, 1, 2, DType::int16, DType::float32}));
  const std::vector<std::string> kernels = check_bits(graph, 6);
  for (const char* part : {"depthwise_u8", "depthwise_s16"})
    CHECK(std::any_of(kernels.begin(), kernels.end(), [&](const std::string& k) { return k.find(part) != std::string::npos; }));
  CHECK(std::count(kernels.begin(), kernels.end(), "conv_integer_reference") == 1);  // odd groups
}

TEST_CASE("matrix products of any size stay integers") {
  for (const std::int64_t k : {16, 84, 7}) {
    Rng rng(static_cast<unsigned>(k));
    Graph graph;
    const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), k, 2, 3});
    const ValueId q = to_integers(graph, "q", x, DType::uint8, 0.01f, 100);
    const ValueId flat = graph.add("flat", Flatten{1}, {q});
    quantize(graph, flat, DType::uint8, 0.01f, 100);
    const ValueId w = integer_weight(graph, rng, "w", {6 * k, 30}, DType::int8, 1);
    const ValueId h = graph.add("hidden", Gemm{.activation = kRelu}, {flat, w});
    quantize(graph, h, DType::uint8, 0.1f, 0);
    const ValueId v = integer_weight(graph, rng, "v", {10, 30}, DType::int4);
    graph.add_output(graph.add("out", Gemm{.transpose_b = true}, {h, v, graph.add_constant("bias", make_f32({10}, rng.reals(10)))}));
    check_bits(graph, 4, 5);
  }
}

TEST_CASE("the batch does not change an image's bits") {
  Rng rng(7);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, 20, 20});
  const ValueId q = to_integers(graph, "q", x, DType::uint8, 0.0078f, 128);
  const ValueId a = conv(graph, rng, "a", q, {3, 32, 3, 1, 1, DType::int8, DType::uint8, 0.03f, 0, kRelu});
  graph.add_output(conv(graph, rng, "b", a, {32, 40, 3, 1, 1, DType::int8, DType::float32}));
  verify(graph);
  const Tensor all = random_tensor(rng, {9, 3, 20, 20});
  std::vector<std::string> kernels;
  const Tensor together = run_on(graph, {{"x", all}}, choose_isa().isa, nullptr, kernels)[0];
  for (std::int64_t n = 0; n < 9; ++n) {
    const Tensor one = make_f32({1, 3, 20, 20}, all.f32().subspan(static_cast<std::size_t>(n * 1200), 1200));
    const Tensor alone = run_on(graph, {{"x", one}}, choose_isa().isa, nullptr, kernels)[0];
    const auto count = static_cast<std::size_t>(alone.count());
    CHECK(std::memcmp(alone.f32().data(), together.f32().data() + static_cast<std::size_t>(n) * count, count * sizeof(float)) == 0);
  }
}

/// Zeroes of a weight's quads where `keep` says no, and the constant stored without them.
ValueId keep_rows(Graph& graph, ValueId weight, const std::vector<std::int32_t>& rows, std::int32_t granularity) {
  const Value before = graph.value(weight);
  const Dims& dims = before.constant->dims;
  const std::int64_t k = dims[1] * dims[2] * dims[3];
  MutableTensor compact(DType::int8, {dims[0], std::ssize(rows)});
  for (std::int64_t o = 0; o < dims[0]; ++o) {
    for (std::size_t r = 0; r < rows.size(); ++r)
      compact.as<std::int8_t>()[static_cast<std::size_t>(o) * rows.size() + r] =
          before.constant->as<std::int8_t>()[static_cast<std::size_t>(o * k + rows[r])];
  }
  const ValueId kept = graph.add_constant("kept", compact);
  graph.value(kept).quantization = before.quantization;
  graph.value(kept).kept_rows = KeptRows{rows, granularity, dims};
  return kept;
}

TEST_CASE("pruned rows are walked around, bit for bit") {
  for (const std::int64_t granularity : {1, 4}) {
    CAPTURE(granularity);
    Rng rng(static_cast<unsigned>(granularity));
    Graph graph;
    const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 24, 17, 13});
    const ValueId q = to_integers(graph, "q", x, DType::uint8, 0.01f, 100);
    const ValueId dense = integer_weight(graph, rng, "w", {40, 24, 3, 3}, DType::int8);
    std::vector<std::int32_t> rows;
    for (std::int32_t c = 0; c < 24; ++c) {
      for (std::int32_t tap = 0; tap < 9; ++tap) {
        if ((c / static_cast<std::int32_t>(granularity) * 7 + tap * 5) % 11 < 3) rows.push_back(c * 9 + tap);
      }
    }
    const ValueId kept = keep_rows(graph, dense, rows, static_cast<std::int32_t>(granularity));
    for (const std::int64_t stride : {1, 2}) {
      const ValueId y = graph.add("y", Conv{.window = {.strides = {stride, stride}, .pads = {1, 1, 1, 1}}, .activation = kRelu},
                                  {q, kept, graph.add_constant("b", make_f32({40}, rng.reals(40)))});
      quantize(graph, y, DType::uint8, 0.2f, 0);
      graph.add_output(y);
    }
    const std::vector<std::string> kernels = check_bits(graph, 12);
    CHECK((granularity == 1 ||
           std::any_of(kernels.begin(), kernels.end(), [](const std::string& k) { return k.find("conv_kept_u8") == 0; })));
  }
}

/// A convolution weight of one number, or of that and its opposite in turns.
ValueId extreme_weight(Graph& graph, const std::string& name, Dims dims, DType type, int value, bool alternates) {
  MutableTensor tensor(type, dims);
  for (std::int64_t i = 0; i < element_count(dims); ++i) {
    const int w = alternates && i % 2 ? -value - 1 : value;
    if (type == DType::int16) {
      tensor.as<std::int16_t>()[static_cast<std::size_t>(i)] = static_cast<std::int16_t>(w);
    } else {
      tensor.as<std::int8_t>()[static_cast<std::size_t>(i)] = static_cast<std::int8_t>(w);
    }
  }
  const ValueId id = graph.add_constant(name, tensor);
  graph.value(id).quantization = Quantization{{1.0f}, {0}, 0};
  return id;
}

TEST_CASE("the largest sums there can be do not overflow") {
  // Every input at either end of its range, every weight at either end, as many of both as kernels take (u8: sums of 2^31 / 2 with the zero point's share).
  const DType types[][2] = {{DType::uint8, DType::int8}, {DType::int16, DType::int16}, {DType::int16, DType::int8}};
  for (const auto& [input, weights] : types) {
    const std::int64_t channels = input == DType::uint8 ? 3648 : 600, most_weight = weights == DType::int16 ? 32767 : 127;
    const std::int32_t least = input == DType::uint8 ? 0 : -32768, most = input == DType::uint8 ? 255 : 32767;
    for (const std::int32_t zero : {least, most}) {
      for (const bool alternates : {false, true}) {
        CAPTURE(zero);
        CAPTURE(alternates);
        Graph graph;
        const ValueId x = graph.add_input("x", DType::float32, {1, channels, 3, 3});
        const ValueId q = to_integers(graph, "q", x, input, 1.0f, zero);
        for (const std::int64_t weight : {most_weight, -most_weight - 1}) {
          const std::string label = std::to_string(weight);
          const ValueId w = extreme_weight(graph, "w" + label, {17, channels, 3, 3}, weights, static_cast<int>(weight), alternates);
          graph.add_output(graph.add("y" + label, Conv{}, {q, w}));
        }
        for (const float real : {-1e6f, 1e6f}) {
          const std::vector<float> all(static_cast<std::size_t>(channels * 9), real);
          const std::vector<std::string> kernels = check_bits(graph, {{"x", make_f32({1, channels, 3, 3}, all)}});
          CHECK(std::none_of(kernels.begin(), kernels.end(), [](const std::string& k) { return k.find("conv_integer_reference") == 0; }));
        }
      }
    }
  }
}

TEST_CASE("the largest depthwise sums of 16 bits do not overflow") {
  for (const std::int64_t weight : {32767, -32768}) {
    for (const float real : {-1e6f, 1e6f}) {
      Graph graph;
      const ValueId x = graph.add_input("x", DType::float32, {1, 20, 16, 16});
      const ValueId q = to_integers(graph, "q", x, DType::int16, 1.0f, 0);
      const ValueId w =
          extreme_weight(graph, "w", {20, 1, 16, 16}, DType::int16, static_cast<int>(weight), false);  // as many taps as the kernel takes
      graph.add_output(graph.add("y", Conv{.groups = 20}, {q, w}));
      const std::vector<std::string> kernels = check_bits(graph, {{"x", make_f32({1, 20, 16, 16}, std::vector<float>(20 * 256, real))}});
      CHECK(std::any_of(kernels.begin(), kernels.end(), [](const std::string& k) { return k.find("conv_depthwise_s16") == 0; }));
    }
  }
}

TEST_CASE("integer convolutions run in the kernel that was asked for, and the tuner tries them all") {
  Rng rng(31);
  auto graph = std::make_shared<Graph>();
  const ValueId x = graph->add_input("x", DType::float32, {1, 16, 9, 9});
  const ValueId q = to_integers(*graph, "q", x, DType::uint8, 0.01f, 100);
  const ValueId kept = keep_rows(*graph, integer_weight(*graph, rng, "w", {16, 16, 3, 3}, DType::int8), {0, 9, 18, 27}, 4);
  graph->add_output(graph->add("y", Conv{}, {q, kept}));
  verify(*graph);
  const std::map<ValueId, Dims> shapes = {{x, {1, 16, 9, 9}}};
  const Machine machine = Machine::typical(Isa::portable);
  const auto kernel_of = [&](const std::map<std::string, std::string>& asked) {
    const plan::Plan plan = plan::make(*graph, shapes, machine, {.asked_for = asked});
    for (const plan::Step& step : plan.steps) {
      if (step.name == "y") return step.kernel;
    }
    return std::string();
  };
  CHECK(kernel_of({}) == "conv_kept_u8_portable");
  for (const char* kernel : {"conv_blocked_u8_portable", "conv_integer_reference"}) CHECK(kernel_of({{"y", kernel}}) == kernel);
  CHECK_THROWS_AS(kernel_of({{"y", "conv_depthwise_u8_portable"}}), Error);
  const run::Tuned tuned = run::tune(graph, shapes, machine, {}, nullptr, {.within = 1e9, .rounds = 2});
  REQUIRE(tuned.kernels.count("y") == 1);
  CHECK(kernel_of(tuned.kernels) == tuned.kernels.at("y"));
  CHECK(tuned.seconds > 0);
}

TEST_CASE("volumes with pruned weights are convolved with all rows") {
  Rng rng(21);
  Graph graph, dense;
  const ValueId x = graph.add_input("x", DType::float32, {1, 2, 3, 4, 4}), y = dense.add_input("x", DType::float32, {1, 2, 3, 4, 4});
  const std::vector<float> few = rng.reals(3 * 4);
  const std::vector<std::int32_t> rows = {1, 9, 20, 53};
  std::vector<float> all(3 * 54);
  for (std::size_t o = 0; o < 3; ++o) {
    for (std::size_t r = 0; r < 4; ++r) all[o * 54 + static_cast<std::size_t>(rows[r])] = few[o * 4 + r];
  }
  const ValueId kept = graph.add_constant("kept", make_f32({3, 4}, few));
  graph.value(kept).kept_rows = KeptRows{rows, 1, {3, 2, 3, 3, 3}};
  graph.add_output(graph.add("conv", Conv{}, {x, kept}));
  dense.add_output(dense.add("conv", Conv{}, {y, dense.add_constant("w", make_f32({3, 2, 3, 3, 3}, all))}));
  verify(graph);
  verify(dense);
  const Tensor in = random_tensor(rng, {1, 2, 3, 4, 4});
  std::vector<std::string> kernels;
  CHECK(same_bits(run_on(graph, {{"x", in}}, choose_isa().isa, nullptr, kernels)[0],
                  run_on(dense, {{"x", in}}, choose_isa().isa, nullptr, kernels)[0]));
}

TEST_CASE("mirrored grids of two bits give the oracle's bits") {
  Rng rng(9);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 16, 9, 9});
  const ValueId q = to_integers(graph, "q", x, DType::uint8, 0.01f, 100);
  const ValueId y = conv(graph, rng, "y", q, {16, 20, 3, 1, 1, DType::int2, DType::uint8, 0.3f, 60});
  Quantization& scales = *graph.value(graph.node(graph.producer(y)).input(Conv::kWeight)).quantization;
  for (std::size_t o = 0; o < scales.zero_point.size(); o += 2) scales.zero_point[o] = -1;
  graph.add_output(y);
  check_bits(graph, 13);
}

TEST_CASE("quantized and pruned weights run in float kernels") {
  Rng rng(8);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 16, 10, 10});
  graph.add_output(conv(graph, rng, "weights only", x, {16, 16, 3, 1, 1, DType::int4, DType::float32}));
  const ValueId kept = graph.add_constant("kept", make_f32({8, 3}, rng.reals(24)));
  graph.value(kept).kept_rows = KeptRows{{0, 17, 143}, 1, {8, 16, 3, 3}};
  graph.add_output(graph.add("pruned", Conv{.window = {.pads = {1, 1, 1, 1}}}, {x, kept}));
  Graph dense = graph;
  verify(graph);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 2);
  std::vector<std::string> kernels;
  const std::vector<Tensor> outputs = run_on(graph, inputs, choose_isa().isa, nullptr, kernels);
  // The same weights, stored as float32.
  Graph plain;
  const ValueId y = plain.add_input("x", DType::float32, {Dim::symbol("N"), 16, 10, 10});
  for (const char* node : {"weights only", "pruned"}) {
    for (const NodeId id : graph.nodes()) {
      if (graph.node(id).name != node) continue;
      std::vector<ValueId> in = {y};
      for (std::size_t i = 1; i < 3 && graph.node(id).input(static_cast<int>(i)); ++i) {
        const Value& value = graph.value(graph.node(id).inputs[i]);
        std::vector<float> reals;
        if (value.kept_rows) {
          reals.assign(8 * 144, 0.0f);
          for (std::size_t o = 0; o < 8; ++o) {
            for (std::size_t r = 0; r < 3; ++r)
              reals[o * 144 + static_cast<std::size_t>(value.kept_rows->rows[r])] = value.constant->f32()[o * 3 + r];
          }
          in.push_back(plain.add_constant(value.name, make_f32({8, 16, 3, 3}, reals)));
        } else if (value.quantization) {
          const std::vector<std::int64_t> integers = to_i64(*value.constant);
          for (std::size_t e = 0; e < integers.size(); ++e)
            reals.push_back(static_cast<float>(integers[e]) * value.quantization->scale[e / 144]);
          in.push_back(plain.add_constant(value.name, make_f32(value.constant->dims, reals)));
        } else {
          in.push_back(plain.add_constant(value.name, *value.constant));
        }
      }
      plain.add_output(plain.add(node, graph.node(id).op, in));
    }
  }
  verify(plain);
  const std::vector<Tensor> expected = run_on(plain, inputs, choose_isa().isa, nullptr, kernels);
  CHECK(same_bits(outputs[0], expected[0]));
  REQUIRE(outputs[1].count() == expected[1].count());  // the pruned one leaves rows out, the other may be Winograd's
  for (std::size_t i = 0; i < static_cast<std::size_t>(expected[1].count()); ++i)
    CHECK(std::fabs(outputs[1].f32()[i] - expected[1].f32()[i]) <= 1e-4f);
}

TEST_CASE("what has no integer kernel is refused by name") {
  const auto error_of = [](Graph graph) -> std::string {
    try {
      verify(graph);
      std::vector<std::string> kernels;
      run_on(graph, {{"x", MutableTensor(DType::float32, {1, 16, 4, 4})}}, Isa::portable, nullptr, kernels);
    } catch (const std::exception& e) {
      return e.what();
    }
    return "";
  };
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {1, 16, 4, 4});
  const ValueId q = to_integers(graph, "q", x, DType::uint8, 0.01f, 100);
  Graph softmax = graph;
  softmax.add_output(softmax.add("soft", Softmax{1, false}, {q}));
  CHECK(error_of(softmax).find("node 'soft' (Softmax): has no kernel for quantized integers; expected real numbers") != std::string::npos);
  Graph moved = graph;
  const ValueId flat = moved.add("flat", Flatten{1}, {q});
  quantize(moved, flat, DType::uint8, 0.02f, 100);
  moved.add_output(flat);
  CHECK(error_of(moved).find("'q' and 'flat' differ in their scales") != std::string::npos);
  Graph mixed = graph;
  Rng rng(1);
  const ValueId y = conv(mixed, rng, "y", x, {16, 16, 3, 1, 1, DType::int8, DType::uint8});
  mixed.add_output(y);
  CHECK(error_of(mixed).find("node 'y' (Conv): 'x' is float32; expected quantized integers") != std::string::npos);
}

}  // namespace
}  // namespace konv::test
