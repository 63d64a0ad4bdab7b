// Batches run in slices: the same numbers, at any number of threads.
#include <doctest/doctest.h>

#include "engine/run/slices.h"
#include "kernels/base/isa.h"
#include "tests/support/compare.h"
#include "tests/support/random_graph.h"
#include "tests/support/reference.h"

namespace konv::test {
namespace {

Machine host() { return Machine::typical(choose_isa().isa); }

Tensor run_slices(run::SlicedContext& context, const Tensor& input, const Dims& dims, ThreadPool* pool) {
  context.set_input(0, input.bytes.get());
  context.run(pool);
  MutableTensor output(DType::float32, dims);
  REQUIRE(context.output_bytes(0) == static_cast<std::int64_t>(output.f32().size_bytes()));
  context.get_output(0, output.bytes.get());
  return output;
}

TEST_CASE("slices of a batch give what the reference gives, and the same bits at any number of threads") {
  Rng rng(11);
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 16, 12, 12});
  const ValueId a = add_relu(graph, "relu", add_conv(graph, rng, "a", x, 16, 24, {.pads = {1, 1, 1, 1}}));
  const ValueId b = add_conv(graph, rng, "b", a, 24, 24, {.pads = {1, 1, 1, 1}});
  graph.add_output(graph.add("pool", Reduce{.axes = {2, 3}, .keep_dims = false}, {add_sum(graph, "sum", a, b)}));
  run::Network network(graph);
  CHECK(network.has_independent_images());
  for (std::int64_t images : {7, 8}) {
    const Tensor input = random_inputs(rng, graph, images).begin()->second;
    const Tensor expected = run_reference(graph, {{"x", input}})[0];
    for (std::int64_t slice : {1, 2, 3, 5}) {
      CAPTURE(slice);
      Dims shape = input.dims;
      shape[0] = slice;
      const auto executable = network.executable({shape}, host(), {});
      run::SlicedContext serial(executable, images, 1);
      const Tensor first = run_slices(serial, input, expected.dims, nullptr);
      CHECK_CLOSE(first, expected, tolerance(DType::float32, 512, 8));
      for (int threads : {1, 2, 4}) {
        CAPTURE(threads);
        ThreadPool pool(threads);
        run::SlicedContext context(executable, images, threads);
        for (int repeat = 0; repeat < 3; ++repeat) {
          const Tensor again = run_slices(context, input, expected.dims, &pool);
          CHECK(std::equal(again.f32().begin(), again.f32().end(), first.f32().begin(), first.f32().end()));
        }
        CHECK(context.arenas() == (context.slices() >= threads ? threads : 1));
      }
    }
  }
}

TEST_CASE("a batch is sliced where it would leave the cache, and images know nothing of one another") {
  Rng rng(12);
  Graph graph;
  ValueId value = graph.add_input("x", DType::float32, {Dim::symbol("N"), 16, 32, 32});
  for (int i = 0; i < 4; ++i) value = add_conv(graph, rng, "conv" + std::to_string(i), value, 16, 16, {.pads = {1, 1, 1, 1}});
  Graph mixed = graph;
  graph.add_output(value);
  mixed.add_output(mixed.add("softmax", Softmax{.axis = 0}, {value}));
  const run::Network network(graph), other(mixed);
  Machine machine = host();
  machine.l2_bytes = 1 << 20;
  const std::int64_t slice = run::best_slice(network, {{64, 16, 32, 32}}, machine, {});
  CHECK(slice >= 1);
  CHECK(slice <= 16);
  CHECK(run::best_slice(network, {{64, 16, 32, 32}}, machine, {.threads = 8}) == slice);
  CHECK(run::best_slice(network, {{1, 16, 32, 32}}, machine, {}) == 1);
  CHECK(run::best_slice(other, {{64, 16, 32, 32}}, machine, {}) == 64);
  machine.l2_bytes = 1 << 30;
  CHECK(run::best_slice(network, {{64, 16, 32, 32}}, machine, {}) == 64);

  // What the whole batch does not fit in, slices may.
  const auto held = [&](std::int64_t n, std::int64_t threads) {
    const std::map<ValueId, Dims> shapes = run::by_value(network.graph(), {{n, 16, 32, 32}});
    return plan::held_bytes(plan::make(network.graph(), shapes, machine, {}), run::arenas_for(64, n, threads), threads);
  };
  for (std::int64_t threads : {1, 4}) {
    CAPTURE(threads);
    const std::int64_t limit = held(64, threads) - 1;
    const std::int64_t limited = run::best_slice(network, {{64, 16, 32, 32}}, machine, {.memory_limit = limit, .threads = threads});
    CHECK(limited < 64);
    CHECK(held(limited, threads) <= limit);
  }
  CHECK(run::best_slice(network, {{64, 16, 32, 32}}, machine, {.memory_limit = 1}) == 1);
}

}  // namespace
}  // namespace konv::test
