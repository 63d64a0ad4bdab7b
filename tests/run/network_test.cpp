// Whole networks through plan and run against the reference runner.
#include <doctest/doctest.h>

#include <thread>

#include <konv/error.hpp>

#include "engine/graph/infer.h"
#include "engine/run/context.h"
#include "engine/run/network.h"
#include "kernels/base/isa.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {
namespace {

Machine host() { return Machine::typical(choose_isa().isa); }

std::vector<Dims> shapes_of(const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  std::vector<Dims> shapes;
  for (ValueId id : graph.inputs()) shapes.push_back(inputs.at(graph.value(id).name).dims);
  return shapes;
}

std::vector<Tensor> run_context(run::Context& context, const std::map<std::string, Tensor>& inputs, ThreadPool* pool) {
  const Graph& graph = context.executable().graph();
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) context.set_input(i, inputs.at(graph.value(graph.inputs()[i]).name).bytes.get());
  context.run(pool);
  std::vector<Tensor> outputs;
  const plan::Plan& plan = context.executable().plan();
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    const plan::Value& value = plan.values[static_cast<std::size_t>(plan.outputs[i])];
    MutableTensor tensor(value.layout.dtype, value.dims);
    context.get_output(i, tensor.bytes.get());
    outputs.push_back(tensor);
  }
  return outputs;
}

void check_against_reference(const Graph& source, unsigned seed, std::int64_t batch = 2) {
  Graph graph = source;
  verify(graph);
  Rng rng(seed);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, batch);
  run::Network network(graph);
  run::Context context(network.executable(shapes_of(graph, inputs), host(), {}), 1);
  const std::vector<Tensor> expected = run_reference(graph, inputs);
  for (int repeat = 0; repeat < 2; ++repeat) {  // a second run finds the first one's rubbish in the arena
    const std::vector<Tensor> actual = run_context(context, inputs, nullptr);
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      REQUIRE(actual[i].dims == expected[i].dims);
      CHECK_CLOSE(actual[i], expected[i], tolerance(DType::float32, 512, 8));
    }
  }
}

Tensor i64(std::initializer_list<std::int64_t> values) {
  return make_i64({static_cast<std::int64_t>(values.size())}, std::vector<std::int64_t>(values));
}

TEST_CASE("small networks agree with the reference") {
  Rng rng(3);
  check_against_reference(conv_bn_relu(rng), 1);
  check_against_reference(conv_bn_relu(rng, 17, 33, 19), 2, 3);
  check_against_reference(residual_block(rng), 3);
  check_against_reference(residual_block(rng, 16, 12, 2), 4);
  check_against_reference(repvgg_block(rng), 5);
}

TEST_CASE("what stands between blocked convolutions agrees with the reference") {
  // 16, 32 and 48 channels are whole blocks on every instruction set, 20 are not on the wider ones.
  for (const std::int64_t channels : {32, 48, 20}) {
    CAPTURE(channels);
    Rng rng(static_cast<unsigned>(channels));
    Graph graph;
    const auto ints = [&](const char* name, std::initializer_list<std::int64_t> v) { return graph.add_constant(name, i64(v)); };
    const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, 18, 14});
    const ValueId a = add_conv(graph, rng, "a", x, 3, channels, {.pads = {1, 1, 1, 1}});
    const ValueId b = add_conv(graph, rng, "b", a, channels, channels, {.pads = {1, 1, 1, 1}});
    const ValueId pooled =
        graph.add("pool", Pool{.kind = PoolKind::max, .kernel = {3, 3}, .window = {.strides = {2, 2}, .pads = {1, 1, 1, 1}}}, {b});
    const ValueId average = graph.add("average", Pool{.kind = PoolKind::average, .kernel = {2, 2}, .window = {.strides = {2, 2}}}, {b});
    const ValueId slice =
        graph.add("slice", Slice{}, {b, ints("starts", {0, 1}), ints("ends", {100, 100}), ints("axes", {2, 3}), ints("steps", {2, 2})});
    const ValueId sum = graph.add("sum", Binary{.kind = BinaryKind::add}, {average, slice});
    const ValueId half = add_conv(graph, rng, "half", sum, channels, 16, {.pads = {1, 1, 1, 1}});
    // Odd distances put the lanes of a block into two blocks.
    const ValueId padded = graph.add("padded", Pad{}, {half, ints("pads", {0, 5, 1, 0, 0, channels - 21, 0, 2})});
    const ValueId cropped = graph.add("cropped", Slice{}, {padded, ints("from", {1, 0}), ints("to", {100, 7}), ints("dims", {2, 3})});
    // One copy where blocks are whole: rows from the second on, every second one, then columns, then channels.
    const ValueId rows =
        graph.add("odd rows", Slice{}, {b, ints("second", {1}), ints("end", {100}), ints("rows' axis", {2}), ints("two", {2})});
    const ValueId corner =
        graph.add("corner", Slice{}, {rows, ints("away", {1, 3}), ints("edge", {6, 100}), ints("both", {2, 3}), ints("steps'", {2, 1})});
    graph.add_output(graph.add("wider", Pad{}, {corner, ints("around", {0, 8, 0, 0, 0, channels - 8, 0, 0})}));
    const ValueId scale = graph.add_constant("scale", make_f32({1, channels, 1, 1}, rng.reals(channels)));
    const ValueId scaled = graph.add("scaled", Binary{.kind = BinaryKind::mul}, {cropped, scale});
    const ValueId bent = graph.add("bent", Unary{{ActivationKind::sigmoid, 0, 0}}, {scaled});
    const ValueId last =
        add_conv(graph, rng, "last", graph.add("join", Binary{.kind = BinaryKind::sub}, {bent, pooled}), channels, 7, {.kernel = {1, 1}});
    graph.add_output(graph.add("mean", Reduce{.kind = ReduceKind::mean, .axes = {2, 3}, .keep_dims = false}, {bent}));
    graph.add_output(graph.add("rows", Reduce{.kind = ReduceKind::max, .axes = {3}, .keep_dims = true}, {pooled}));
    graph.add_output(pooled);
    graph.add_output(last);
    check_against_reference(graph, 11);
  }
}

TEST_CASE("fused epilogues agree with the reference") {
  Rng rng(4);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 8, 9, 9});
  const ValueId y = add_conv(graph, rng, "first", x, 8, 8, {.pads = {1, 1, 1, 1}});
  const Node& first = *graph.producer_as<Conv>(y);
  Conv op = std::get<Conv>(first.op);
  op.activation = {ActivationKind::leaky_relu, 0.1f, 0};
  graph.add_output(graph.add("second", op, {y, first.input(Conv::kWeight), first.input(Conv::kBias), x}));
  check_against_reference(graph, 6);
}

TEST_CASE("data movement agrees with the reference") {
  Rng rng(5);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 4, 6, 5});
  const ValueId t = graph.add("transpose", Transpose{{0, 2, 3, 1}}, {x});
  graph.add_output(t);
  const auto ints = [&](const char* name, std::initializer_list<std::int64_t> v) { return graph.add_constant(name, i64(v)); };
  const ValueId slice =
      graph.add("slice", Slice{}, {x, ints("starts", {5, 0}), ints("ends", {-100, 5}), ints("axes", {2, 3}), ints("steps", {-2, 2})});
  graph.add_output(slice);
  for (const PadMode mode : {PadMode::constant, PadMode::reflect, PadMode::edge}) {
    graph.add_output(graph.add("pad", Pad{mode, 0.5f}, {x, ints("pads", {0, 0, 2, 1, 0, 0, 1, 3})}));
  }
  graph.add_output(graph.add("crop", Pad{PadMode::constant, 0}, {x, ints("negative", {0, 1, -2, 0, 0, 0, 1, -1})}));
  graph.add_output(graph.add("concat", Concat{1}, {x, add_relu(graph, "relu", x), x}));
  graph.add_output(graph.add("gather", Gather{2}, {x, ints("rows", {0, -1, 3})}));
  graph.add_output(graph.add("flat", Flatten{1}, {t}));
  graph.add_output(graph.add("mean", Reduce{ReduceKind::mean, {2, 3}, false}, {x}));
  graph.add_output(graph.add("max", Reduce{ReduceKind::max, {1}, true}, {x}));
  graph.add_output(graph.add("softmax", Softmax{1, false}, {x}));
  check_against_reference(graph, 7, 3);
}

TEST_CASE("functions of one and two arguments agree with the reference") {
  Rng rng(15);
  for (const std::int64_t channels : {4, 32}) {  // behind a convolution images may lie in blocks
    Graph graph;
    const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, 7, 5});
    const ValueId y = add_conv(graph, rng, "conv", x, 3, channels, {.pads = {1, 1, 1, 1}});
    for (int kind = 1; kind < kActivationKinds; ++kind) {
      Activation function{static_cast<ActivationKind>(kind), 0.5f, 0.75f};
      const bool positive = function.kind == ActivationKind::log || function.kind == ActivationKind::sqrt;
      const ValueId argument = positive ? graph.add("positive", Unary{{ActivationKind::exp, 0, 0}}, {y}) : y;
      graph.add_output(graph.add("function", Unary{function}, {argument}));
    }
    const ValueId slope = graph.add_constant("slope", random_tensor(rng, {channels, 1, 1}, 0.1f, 1));
    for (const BinaryKind kind :
         {BinaryKind::min, BinaryKind::max, BinaryKind::prelu, BinaryKind::equal, BinaryKind::less, BinaryKind::greater})
      graph.add_output(graph.add("binary", Binary{kind, {}}, {y, slope}));
    graph.add_output(graph.add("power", Binary{BinaryKind::pow, {}}, {graph.add("exp", Unary{{ActivationKind::exp, 0, 0}}, {y}), slope}));
    const ValueId positive = graph.add("is", Binary{BinaryKind::greater, {}}, {y, slope});
    graph.add_output(graph.add("where", Where{}, {positive, y, slope}));
    for (int kind = 0; kind < 10; ++kind) {
      const auto reduction = static_cast<ReduceKind>(kind);
      const ValueId data = reduction == ReduceKind::log_sum ? graph.add("exp", Unary{{ActivationKind::exp, 0, 0}}, {y}) : y;
      graph.add_output(graph.add("reduced", Reduce{reduction, {-1, 1}, kind % 2 == 0}, {data}));
    }
    check_against_reference(graph, 21);
  }
}

TEST_CASE("normalizations agree with the reference") {
  Rng rng(16);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 6, 5, 4});
  const auto constant = [&](const char* name, Dims dims) { return graph.add_constant(name, random_tensor(rng, std::move(dims))); };
  graph.add_output(graph.add("layer", LayerNorm{2, 1e-3f}, {x, constant("g", {5, 4}), constant("b", {5, 4})}));
  graph.add_output(graph.add("layer without beta", LayerNorm{-1, 1e-3f}, {x, constant("g1", {4})}));
  graph.add_output(graph.add("instance", InstanceNorm{1e-3f}, {x, constant("g2", {6}), constant("b2", {6})}));
  graph.add_output(graph.add("lrn", Lrn{4, 0.5f, 0.75f, 2}, {x}));
  graph.add_output(graph.add("log", Softmax{1, false, true}, {x}));
  check_against_reference(graph, 22);
}

TEST_CASE("windows over volumes agree with the reference") {
  Rng rng(17);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 4, 5, 6, 7});
  const ValueId y =
      add_conv(graph, rng, "conv", x, 4, 6, {.kernel = {3, 2, 3}, .strides = {1, 2, 1}, .pads = {1, 0, 1, 1, 1, 1}, .groups = 2});
  graph.add_output(add_relu(graph, "relu", y));
  const Window window{.strides = {1, 2, 2}, .pads = {0, 1, 0, 1, 0, 1}, .dilations = {2, 1, 1}};
  for (const PoolKind kind : {PoolKind::max, PoolKind::average, PoolKind::lp, PoolKind::max_index})
    graph.add_output(graph.add("pool", Pool{.kind = kind, .kernel = {2, 2, 2}, .window = window, .ceil_mode = true, .order = 3}, {x}));
  const ValueId flat = graph.add_input("flat", DType::float32, {Dim::symbol("N"), 3, 11});
  graph.add_output(graph.add("lp", Pool{.kind = PoolKind::lp, .kernel = {3}, .window = {.strides = {2}}}, {flat}));
  const ValueId weight = graph.add_constant("w", random_tensor(rng, {4, 3, 2, 3, 2}));
  ConvTranspose transposed;
  transposed.window = {.strides = {2, 1, 2}, .pads = {0, 1, 0, 1, 0, 0}, .dilations = {1, 1, 2}};
  transposed.groups = 2;
  graph.add_output(graph.add("transposed", transposed, {x, weight}));
  check_against_reference(graph, 23);
}

TEST_CASE("more data movement agrees with the reference") {
  Rng rng(18);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 8, 4, 6});
  const auto ints = [&](const char* name, std::initializer_list<std::int64_t> v) { return graph.add_constant(name, i64(v)); };
  graph.add_output(graph.add("tile", Tile{}, {x, ints("r", {2, 1, 3, 2})}));
  graph.add_output(graph.add("tile none", Tile{}, {x, ints("r0", {1, 1, 1, 1})}));
  const ValueId deep = graph.add("deep", Unsqueeze{{0, 1, 2}}, {x});  // seven dimensions leave room for one repeat
  graph.add_output(graph.add("tile deep", Tile{}, {deep, ints("r7", {2, 1, 3, 1, 2, 1, 2})}));
  for (const DepthOrder order : {DepthOrder::dcr, DepthOrder::crd}) {
    graph.add_output(graph.add("to space", DepthToSpace{2, order}, {x}));
    graph.add_output(graph.add("to depth", SpaceToDepth{2, order}, {x}));
  }
  graph.add_output(graph.add("wrap", Pad{PadMode::wrap, 0}, {x, ints("p", {0, 9, -1, 2, 0, 0, 7, 1})}));
  const ValueId value = graph.add_constant("value", make_f32({}, std::vector<float>{2.5f}));
  graph.add_output(graph.add("pad", Pad{}, {x, ints("p2", {1, 2, 0, 3}), value, ints("axes", {-1, 2})}));
  for (const bool largest : {true, false}) {
    graph.add_output(graph.add("top", TopK{2, largest}, {x, ints("k", {3})}));
    graph.add_output(graph.add("where", TopK{-1, largest, true, TopKPart::indices}, {x, ints("k1", {2})}));
  }
  graph.add_output(graph.add("axes", Reduce{ReduceKind::sum, {}, true}, {x, ints("over", {1, 3})}));
  graph.add_output(graph.add("squeezed", Squeeze{}, {graph.add("unsqueezed", Unsqueeze{}, {x, ints("at", {1, -1})}), ints("at1", {1})}));
  const auto scales = [&](const char* name, float h, float w) {
    return graph.add_constant(name, make_f32({4}, std::vector<float>{1, 1, h, w}));
  };
  Resize nearest{.coordinates = ResizeCoordinates::asymmetric, .rounding = ResizeRounding::floor};
  graph.add_output(graph.add("nearest", nearest, {x, ValueId{}, scales("s2", 2, 3)}));
  graph.add_output(graph.add("linear", Resize{.mode = ResizeMode::linear}, {x, ValueId{}, scales("s3", 2.5f, 0.5f)}));
  check_against_reference(graph, 24, 3);
}

TEST_CASE("integers agree with the reference") {
  Rng rng(19);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {2, 6, 5, 4});
  const ValueId scale = graph.add_constant("scale", make_f32({}, std::vector<float>{0.015625f}));
  const ValueId each = graph.add_constant("each", make_f32({6}, std::vector<float>{0.5f, 0.25f, 0.125f, 1, 2, 0.0625f}));
  const ValueId q = graph.add("q", Quantize{}, {x, scale});
  graph.add_output(q);
  const ValueId by_channel = graph.add("by channel", Quantize{1, 0, DType::int8}, {x, each});
  graph.add_output(by_channel);
  graph.add_output(graph.add("back", Dequantize{-3, 0, DType::float32}, {by_channel, each}));
  MutableTensor weight(DType::int8, {4, 3, 3, 3}), zero(DType::uint8, {});
  for (std::int8_t& w : weight.as<std::int8_t>()) w = static_cast<std::int8_t>(rng.integer(-128, 127));
  zero.as<std::uint8_t>()[0] = 7;
  ConvInteger conv;
  conv.window.pads = {1, 1, 1, 1};
  conv.groups = 2;
  graph.add_output(graph.add("conv", conv, {q, graph.add_constant("w", weight), graph.add_constant("z", zero)}));
  MutableTensor b(DType::int8, {4, 3}), zeros(DType::int8, {3});
  for (std::int8_t& w : b.as<std::int8_t>()) w = static_cast<std::int8_t>(rng.integer(-128, 127));
  for (std::int8_t& w : zeros.as<std::int8_t>()) w = static_cast<std::int8_t>(rng.integer(-5, 5));
  graph.add_output(graph.add("product", MatMulInteger{}, {q, graph.add_constant("b", b), ValueId{}, graph.add_constant("zb", zeros)}));
  check_against_reference(graph, 25);
}

TEST_CASE("inputs that decide shapes get a plan for each of their values") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {2, 6});
  const ValueId shape = graph.add_input("shape", DType::int64, {2});
  graph.add_output(graph.add("y", Reshape{}, {x, shape}));
  verify(graph);
  CHECK(shape_inputs(graph) == std::vector<ValueId>{shape});
  run::Network network(graph);
  CHECK(network.shape_inputs() == std::vector<std::size_t>{1});
  const auto first = network.executable({{2, 6}, {2}}, host(), {}, {i64({3, 4})});
  CHECK(first->plan().values[static_cast<std::size_t>(first->plan().outputs[0])].dims == Dims{3, 4});
  const auto second = network.executable({{2, 6}, {2}}, host(), {}, {i64({12, -1})});
  CHECK(second->plan().values[static_cast<std::size_t>(second->plan().outputs[0])].dims == Dims{12, 1});
  CHECK(network.executable({{2, 6}, {2}}, host(), {}, {i64({3, 4})}) == first);
  CHECK_THROWS_WITH_AS(network.executable({{2, 6}, {2}}, host(), {}, {i64({5, -1})}),
                       "node 'y' (Reshape): 12 elements in rows of 5; expected a shape with as many elements as the input", Error);
}

TEST_CASE("the shape arithmetic of exporters is planned away") {
  Rng rng(6);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 4, 6, 5});
  const ValueId shape = graph.add("shape", ShapeOf{}, {x});
  const ValueId batch = graph.add("batch", Gather{0}, {shape, graph.add_constant("zero", make_i64({1}, std::vector<std::int64_t>{0}))});
  const ValueId wanted = graph.add("wanted", Concat{0}, {batch, graph.add_constant("rest", i64({-1}))});
  graph.add_output(graph.add("reshape", Reshape{}, {x, wanted}));
  check_against_reference(graph, 8, 3);
}

TEST_CASE("matrix products broadcast as NumPy's") {
  Rng rng(7);
  Graph graph;
  const ValueId a = graph.add_input("a", DType::float32, {2, 1, 3, 5});
  const ValueId b = graph.add_input("b", DType::float32, {4, 5, 7});
  const ValueId v = graph.add_input("v", DType::float32, {5});
  graph.add_output(graph.add("ab", MatMul{}, {a, b}));
  graph.add_output(graph.add("av", MatMul{}, {a, v}));
  graph.add_output(graph.add("vb", MatMul{}, {v, b}));
  check_against_reference(graph, 9);
}

TEST_CASE("outputs are bit-identical at any number of threads") {
  Rng rng(8);
  Graph graph = residual_block(rng, 32, 24);
  verify(graph);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 5);
  run::Network network(graph);
  const auto executable = network.executable(shapes_of(graph, inputs), host(), {});
  run::Context serial(executable, 1);
  const std::vector<Tensor> expected = run_context(serial, inputs, nullptr);
  for (int threads : {2, 3, 5}) {
    ThreadPool pool(threads);
    run::Context context(executable, threads);
    for (int repeat = 0; repeat < 20; ++repeat) {
      const std::vector<Tensor> actual = run_context(context, inputs, &pool);
      const auto a = actual[0].f32(), e = expected[0].f32();
      CHECK(std::equal(a.begin(), a.end(), e.begin(), e.end()));
    }
  }
}

TEST_CASE("several threads share one network") {
  Rng rng(9);
  Graph graph = repvgg_block(rng, {.channels = 16});
  verify(graph);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 2);
  const std::vector<Tensor> expected = run_reference(graph, inputs);
  run::Network network(graph);
  std::vector<std::vector<Tensor>> results(4);
  std::vector<std::thread> threads;
  for (std::vector<Tensor>& result : results) {
    threads.emplace_back([&] {
      run::Context context(network.executable(shapes_of(graph, inputs), host(), {}), 1);
      for (int repeat = 0; repeat < 10; ++repeat) result = run_context(context, inputs, nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<Tensor>& result : results) CHECK_CLOSE(result[0], expected[0], tolerance(DType::float32, 256, 8));
}

TEST_CASE("the pool runs every chunk once") {
  ThreadPool pool(4);
  for (int round = 0; round < 2000; ++round) {
    const std::int64_t chunks = 1 + round % 37;
    std::vector<std::atomic<int>> hits(static_cast<std::size_t>(chunks));
    const auto f = [&](std::int64_t chunk, int thread) {
      CHECK(thread < pool.threads());
      hits[static_cast<std::size_t>(chunk)].fetch_add(1);
    };
    pool.run(chunks, f);
    for (const std::atomic<int>& hit : hits) REQUIRE(hit.load() == 1);
  }
}

TEST_CASE("the pool begins a job when the one before is done") {
  struct Counted {
    const Counted* before = nullptr;
    std::int64_t chunks = 0;
    mutable std::atomic<std::int64_t> calls{0}, early{0};
    void operator()(std::int64_t, int) const {
      if (before && before->calls.load() != before->chunks) early.fetch_add(1);
      calls.fetch_add(1);
    }
  };
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 300; ++round) {
      std::vector<Counted> work(12);
      std::vector<Job> jobs;
      for (std::size_t i = 0; i < work.size(); ++i) {
        work[i].before = i > 0 ? &work[i - 1] : nullptr;
        work[i].chunks = (round + 3 * static_cast<int>(i)) % 11;
        jobs.push_back({work[i], work[i].chunks, i % 4 != 2});
      }
      pool.run(jobs);
      for (const Counted& counted : work) {
        REQUIRE(counted.early.load() == 0);
        REQUIRE(counted.calls.load() == counted.chunks);
      }
    }
  }
}

}  // namespace
}  // namespace konv::test
