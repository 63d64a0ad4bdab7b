// Whole networks through the CUDA backend - plan, packing, arena, graph - against the reference runner. Built twice: for the interpreted device and for a GPU.
#include "tests/cuda/networks/networks.h"

#include <cstdlib>

#include <konv/error.hpp>

#include "converter/import.h"
#include "engine/passes/passes.h"
#include "engine/run/context.h"
#include "engine/run/network.h"
#include "models/architectures/architectures.h"
#include "tests/cuda/conv_cases.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {
namespace {

Tensor i64(std::initializer_list<std::int64_t> values) {
  return make_i64({static_cast<std::int64_t>(values.size())}, std::vector<std::int64_t>(values));
}

TEST_CASE("cuda network: small networks agree with the reference") {
  if (!can_run_networks()) return;
  Rng rng(3);
  check_against_reference(conv_bn_relu(rng), 1);
  check_against_reference(conv_bn_relu(rng, 17, 33, 19), 2, 4, 3);
  check_against_reference(residual_block(rng), 3);
  check_against_reference(residual_block(rng, 16, 12, 2), 4, 8);
  check_against_reference(repvgg_block(rng), 5);
}

TEST_CASE("cuda network: what ResNet-50 and MobileNetV2 are made of") {
  if (!can_run_networks()) return;
  Rng rng(7);
  Graph graph;
  const Activation relu{ActivationKind::relu, 0, 0}, relu6{ActivationKind::clip, 0, 6};
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, 33, 29});
  const ValueId stem =
      add_conv(graph, rng, "stem", x, 3, 16, {.kernel = {7, 7}, .strides = {2, 2}, .pads = {3, 3, 3, 3}, .activation = relu});
  const ValueId pooled =
      graph.add("pool", Pool{.kind = PoolKind::max, .kernel = {3, 3}, .window = {.strides = {2, 2}, .pads = {1, 1, 1, 1}}}, {stem});
  // a bottleneck with a projection
  const ValueId a = add_conv(graph, rng, "a", pooled, 16, 16, {.kernel = {1, 1}, .activation = relu});
  const ValueId b = add_conv(graph, rng, "b", a, 16, 16, {.pads = {1, 1, 1, 1}, .activation = relu});
  const ValueId c = add_conv(graph, rng, "c", b, 16, 64, {.kernel = {1, 1}});
  const ValueId projection = add_conv(graph, rng, "projection", pooled, 16, 64, {.kernel = {1, 1}});
  const ValueId sum = graph.add("sum", Binary{.kind = BinaryKind::add, .activation = relu}, {c, projection});
  // an inverted residual
  const ValueId wide = add_conv(graph, rng, "expand", sum, 64, 96, {.kernel = {1, 1}, .activation = relu6});
  const ValueId deep =
      add_conv(graph, rng, "depthwise", wide, 96, 96, {.strides = {2, 2}, .pads = {1, 1, 1, 1}, .groups = 96, .activation = relu6});
  const ValueId narrow = add_conv(graph, rng, "project", deep, 96, 20, {.kernel = {1, 1}});
  const ValueId again = add_conv(graph, rng, "again", narrow, 20, 20, {.pads = {1, 1, 1, 1}, .groups = 4});
  const ValueId joined = graph.add("joined", Binary{.kind = BinaryKind::add}, {narrow, again});
  const ValueId mean = graph.add("mean", Reduce{.kind = ReduceKind::mean, .axes = {2, 3}, .keep_dims = true}, {joined});
  const ValueId flat = graph.add("flat", Flatten{1}, {mean});
  const ValueId weight = graph.add_constant("fc.weight", make_f32({13, 20}, rng.reals(13 * 20))),
                bias = graph.add_constant("fc.bias", make_f32({13}, rng.reals(13)));
  const ValueId logits = graph.add("fc", Gemm{.transpose_b = true}, {flat, weight, bias});
  graph.add_output(logits);
  graph.add_output(graph.add("softmax", Softmax{-1}, {logits}));
  const std::set<std::string> kernels = check_against_reference(graph, 8, 20);
  for (const std::string kernel :
       {"conv_depthwise_f16", "conv_halo_f16_c16", "pool_max_f16", "softmax_f16", "reduce_f16", "conv_rows_f16", "affine_f16"}) {
    CAPTURE(kernel);
    CHECK(kernels.count(kernel) == 1);
  }
}

TEST_CASE("cuda network: data movement agrees with the reference") {
  if (!can_run_networks()) return;
  Rng rng(5);
  for (const std::int64_t channels : {8, 6}) {  // whole chunks, and lanes to spare
    CAPTURE(channels);
    Graph graph;
    const auto ints = [&](const char* name, std::initializer_list<std::int64_t> v) { return graph.add_constant(name, i64(v)); };
    const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), channels, 9, 7});
    // a shortcut without weights: every second pixel, channels padded
    const ValueId slice =
        graph.add("slice", Slice{}, {x, ints("starts", {0, 1}), ints("ends", {100, 100}), ints("axes", {2, 3}), ints("steps", {2, 2})});
    const ValueId pad = graph.add("pad", Pad{}, {slice, ints("pads", {0, 2, 0, 0, 0, 3, 0, 1})});
    graph.add_output(pad);
    const ValueId cat = graph.add("concat", Concat{1}, {x, add_relu(graph, "relu", x)});
    graph.add_output(graph.add(
        "average",
        Pool{.kind = PoolKind::average, .kernel = {3, 3}, .window = {.strides = {2, 2}, .pads = {1, 1, 0, 0}}, .ceil_mode = true}, {cat}));
    graph.add_output(graph.add("transpose", Transpose{{0, 2, 3, 1}}, {x}));
    const ValueId scale = graph.add_constant("scale", make_f32({channels, 1, 1}, rng.reals(channels, 0.5f, 2.0f)));
    graph.add_output(graph.add("div", Binary{.kind = BinaryKind::div}, {x, scale}));
    const ValueId gate = graph.add("gate", Reduce{.kind = ReduceKind::max, .axes = {2, 3}, .keep_dims = true}, {x});
    graph.add_output(graph.add("mul", Binary{.kind = BinaryKind::mul}, {x, gate}));
    const ValueId flat = graph.add("flat", Flatten{1}, {slice});
    graph.add_output(flat);
    graph.add_output(graph.add("reshape", Reshape{}, {x, ints("shape", {0, -1, 7})}));
    const ValueId matrix = graph.add_constant("matrix", make_f32({channels * 15, 5}, rng.reals(channels * 75)));
    graph.add_output(graph.add("matmul", MatMul{}, {flat, matrix}));
    graph.add_output(graph.add("rows", Reduce{.kind = ReduceKind::sum, .axes = {3}, .keep_dims = false}, {x}));
    check_against_reference(graph, 9, 8);
  }
}

TEST_CASE("cuda network: batch normalization and activations that stand alone") {
  if (!can_run_networks()) return;
  Rng rng(6);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 5, 6, 6});
  ValueId y = add_batch_norm(graph, rng, "norm", x, 5);
  for (int kind = 1; kind < kActivationKinds; ++kind) {
    const auto f = static_cast<ActivationKind>(kind);
    if (f == ActivationKind::sqrt || f == ActivationKind::log) continue;  // of positive numbers

    graph.add_output(graph.add("f" + std::to_string(kind), Unary{{f, 0.25f, 0.75f}}, {y}));
  }
  check_against_reference(graph, 10);
}

TEST_CASE("cuda network: pruned weights stored compact are computed as they are") {
  if (!can_run_networks()) return;
  Rng rng(12);
  Graph dense;
  const ValueId x = dense.add_input("x", DType::float32, {1, 64, 9, 9});
  dense.add_output(add_conv(dense, rng, "conv", x, 64, 32, {.pads = {1, 1, 1, 1}}));
  verify(dense);
  // The rows of channels 16 to 31 at tap (0, 0) leave; what stays is stored in order.
  Graph pruned = dense;
  const Node& conv = pruned.node(pruned.nodes().front());
  const ValueId weight = conv.input(Conv::kWeight);
  const Tensor whole = *pruned.constant(weight);
  KeptRows kept{.granularity = 16, .dense_dims = whole.dims};
  for (std::int32_t row = 0; row < 64 * 9; ++row) {
    if (row % 9 != 0 || row / 9 < 16 || row / 9 >= 32) kept.rows.push_back(row);
  }
  MutableTensor compact(DType::float32, {32, std::ssize(kept.rows)}), zeroed(DType::float32, whole.dims);
  for (std::int64_t o = 0; o < 32; ++o) {
    for (std::size_t i = 0; i < kept.rows.size(); ++i) {
      const float w = whole.f32()[static_cast<std::size_t>(o * 576 + kept.rows[i])];
      compact.f32()[static_cast<std::size_t>(o) * kept.rows.size() + i] = w;
      zeroed.f32()[static_cast<std::size_t>(o * 576 + kept.rows[i])] = w;
    }
  }
  dense.value(weight).constant = zeroed;
  pruned.value(weight).constant = compact;
  pruned.value(weight).kept_rows = kept;
  const std::map<std::string, Tensor> inputs = random_inputs(rng, dense);
  const auto from_dense = prepare(dense, shapes_of(dense, inputs), network_target(Precision::float16)),
             from_pruned = prepare(pruned, shapes_of(dense, inputs), network_target(Precision::float16));
  CHECK(from_dense->executable().constants(1).group_count == 36);  // 35 and one to make it even
  CHECK_CLOSE(run_once(*from_pruned, inputs)[0], run_once(*from_dense, inputs)[0], 0.0);
}

TEST_CASE("cuda network: nodes without a kernel are named, or run on the CPU") {
  if (!can_run_networks()) return;
  Rng rng(15);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 6, 7, 7});
  const ValueId y = add_conv(graph, rng, "conv", x, 6, 8, {.pads = {1, 1, 1, 1}});
  const ValueId weight = graph.add_constant("up.weight", make_f32({8, 5, 2, 2}, rng.reals(8 * 5 * 4)));
  const ValueId up = graph.add("up", ConvTranspose{.window = {.strides = {2, 2}}}, {y, weight});
  const ValueId mirrored =
      graph.add("mirror", Pad{.mode = PadMode::reflect}, {up, graph.add_constant("pads", i64({0, 0, 1, 1, 0, 0, 1, 1}))});
  graph.add_output(add_conv(graph, rng, "last", mirrored, 5, 4, {.pads = {1, 1, 1, 1}}));
  verify(graph);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 2);
  std::string message;
  try {
    plan::make_for_cuda(graph, shapes_of(graph, inputs), network_target(Precision::float16));
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(
      message ==
      "2 nodes without a CUDA kernel: node 'up' (ConvTranspose): no kernel for this operator; node 'mirror' (Pad): pads by what is there; "
      "expected --fallback cpu or --device cpu");
  const std::vector<Tensor> expected = run_reference(graph, inputs);
  for (const Precision precision : kAllPrecisions) {
    plan::CudaTarget t = network_target(precision);
    t.fallback_cpu = true;
    const auto context = prepare(graph, shapes_of(graph, inputs), t);
    for (int repeat = 0; repeat < 2; ++repeat) CHECK_CLOSE(run_once(*context, inputs)[0], expected[0], allowed(precision, 4));
    std::vector<double> seconds(context->executable().plan().steps.size());
    context->run_timed(seconds);
    for (const double s : seconds) CHECK(s > 0);
  }
}

TEST_CASE("cuda network: ResNet-20 with its shipped weights says what the CPU says") {
  if (!can_run_networks()) return;
  const char* folder = std::getenv("KONV_WEIGHTS");  // on a machine without the sources
  const std::string weights = folder ? folder : std::string(KONV_SOURCE_DIR) + "/models/weights";
  Graph graph = models::find_architecture("resnet20").build(converter::read_checkpoint(weights + "/resnet20.safetensors"));
  verify(graph);
  passes::run(graph, passes::select("default"), {.evaluate = run::evaluate});
  Rng rng(16);
  const std::map<std::string, Tensor> inputs = random_inputs(rng, graph, 1);
  run::Network network(graph);
  std::vector<Dims> shapes;
  for (ValueId id : graph.inputs()) shapes.push_back(inputs.at(graph.value(id).name).dims);
  run::Context cpu(network.executable(shapes, Machine::typical(choose_isa().isa), {}), 1);
  cpu.set_input(0, inputs.begin()->second.bytes.get());
  cpu.run(nullptr);
  MutableTensor expected(DType::float32, {1, 10});
  cpu.get_output(0, expected.bytes.get());
  const auto context = prepare(graph, shapes_of(graph, inputs), network_target(Precision::float16));
  CHECK_CLOSE(run_once(*context, inputs)[0], Tensor(expected), 0.02);
  CHECK(context->executable().plan().steps[0].kernel == "conv_first_f16");
  int halo = 0;
  for (const plan::Step& step : context->executable().plan().steps) halo += step.kernel.starts_with("conv_halo");
  CHECK(halo >= 6);  // batch 1 leaves later stages to smaller tiles
}

TEST_CASE("cuda network: empty tensors and unknown sizes are errors that name the value") {
  if (!can_run_networks()) return;
  Rng rng(18);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 3, 7, 7});
  graph.add_output(add_conv(graph, rng, "conv", x, 3, 4, {.pads = {1, 1, 1, 1}}));
  verify(graph);
  CHECK_THROWS_WITH_AS(plan::make_for_cuda(graph, {{x, {0, 3, 7, 7}}}, network_target(Precision::float16)),
                       "value 'x': is empty (0x3x7x7); expected at least one element on a GPU, or --device cpu", Error);
  std::string message;
  try {
    plan::make_for_cuda(graph, {}, network_target(Precision::float16));
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.starts_with("value 'x': its shape ("));
  CHECK(message.ends_with(") does not follow from the input shapes; expected sizes known before running"));
}

}  // namespace
}  // namespace konv::test
