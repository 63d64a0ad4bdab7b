// The order of the passes, their selection, and what they make of whole blocks.
#include <chrono>
#include <set>

#include "tests/passes/check.h"

using namespace konv;
using namespace konv::test;

namespace {

std::vector<std::string> names(std::string_view list) {
  std::vector<std::string> found;
  for (const passes::Pass* pass : passes::select(list)) found.emplace_back(pass->name);
  return found;
}

}  // namespace

TEST_CASE("selecting passes") {
  CHECK(names("none").empty());
  CHECK(names("default").size() == passes::pipeline().size());
  CHECK(names("default").front() == "remove-dead-nodes");
  CHECK(names("fuse-activation,fold-batch-norm") == std::vector<std::string>{"fuse-activation", "fold-batch-norm"});
  CHECK(names("fuse-residual") == std::vector<std::string>{"fuse-residual"});
  std::string all;
  for (const passes::Pass& pass : passes::pipeline()) all += std::string(all.empty() ? "" : ", ") + pass.name;
  CHECK_THROWS_WITH_AS(passes::select("fold-batch-norm,fold"),
                       ("passes: 'fold' is unknown; expected default, none or some of " + all).c_str(), Error);
  CHECK_THROWS_AS(passes::select(""), Error);
  CHECK_THROWS_AS(passes::select("fold-batch-norm,"), Error);
  CHECK_THROWS_AS(passes::select("fold-batch-norm,none"), Error);
}

TEST_CASE("every pass says what it does and why it stands there") {
  std::set<std::string> seen;
  for (const passes::Pass& pass : passes::pipeline()) {
    CHECK(seen.insert(pass.name).second);
    CHECK(std::string_view(pass.verb).size() > 0);
    CHECK(std::string_view(pass.summary).size() > 0);
    CHECK(std::string_view(pass.place).size() > 0);
  }
}

TEST_CASE("no passes leave the graph as it is") {
  Rng rng(1);
  Graph graph = residual_block(rng);
  const int nodes = count_nodes(graph);
  CHECK(run_passes(graph, "none").empty());
  CHECK(count_nodes(graph) == nodes);
  CHECK(graph.metadata.passes.empty());
}

TEST_CASE("blocks shrink to their convolutions") {
  Rng rng(2);
  Graph plain = conv_bn_relu(rng);
  check_fires(plain, "default");
  CHECK(count_nodes(plain) == 1);
  CHECK(plain.metadata.passes == std::vector<std::string>{"fold-batch-norm", "fuse-activation"});

  for (const std::int64_t stride : {1, 2}) {
    Graph residual = residual_block(rng, 4, 8, stride);
    check_fires(residual, "default");
    CHECK(count_nodes(residual) == (stride == 1 ? 2 : 3));
    CHECK(count<Conv>(residual) == count_nodes(residual));
    CHECK(residual.metadata.passes == std::vector<std::string>{"fold-batch-norm", "fuse-residual", "fuse-activation"});
  }

  Graph repvgg = repvgg_block(rng);
  check_fires(repvgg, "default");
  CHECK(count_nodes(repvgg) == 1);
  CHECK(std::get<Conv>(find_node(repvgg, "dense").op).activation.kind == ActivationKind::relu);
}

TEST_CASE("a second run changes nothing, and equal graphs give equal results") {
  Rng rng(3), again(3);
  Graph a = residual_block(rng, 4, 8, 2), b = residual_block(again, 4, 8, 2);
  run_passes(a, "default");
  run_passes(b, "default");
  REQUIRE(a.value_count() == b.value_count());
  for (int i = 0; i < a.value_count(); ++i) CHECK(a.value(ValueId{i}).name == b.value(ValueId{i}).name);
  const std::vector<std::string> applied = a.metadata.passes;
  for (const passes::Report& report : run_passes(a, "default")) CHECK(report.fired.empty());
  CHECK(a.metadata.passes == applied);
}

TEST_CASE("a graph that is not sound is refused before any pass sees it") {
  Bench b;
  b.output(b.conv("conv", b.x, {}, 3, 4));  // x has 4 channels
  CHECK_THROWS_AS(run_passes(b.graph, "fuse-activation"), Error);
}

TEST_CASE("deep networks take time in proportion") {
  Rng rng(4);
  Graph graph;
  ValueId x = graph.add_input("x", DType::float32, {1, 2, 4, 4});
  for (int i = 0; i < 150; ++i) {  // 900 nodes
    const std::string block = "block" + std::to_string(i);
    ValueId v =
        add_relu(graph, block + ".relu1",
                 add_batch_norm(graph, rng, block + ".bn1", add_conv(graph, rng, block + ".conv1", x, 2, 2, {.pads = {1, 1, 1, 1}}), 2));
    v = add_conv(graph, rng, block + ".conv2", v, 2, 2, {.pads = {1, 1, 1, 1}});
    x = add_relu(graph, block + ".relu2", add_sum(graph, block + ".add", v, x));
  }
  graph.add_output(x);
  const auto begin = std::chrono::steady_clock::now();
  run_passes(graph, "default");
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  CHECK(count_nodes(graph) == 300);
  MESSAGE("900 nodes: " << taken.count() << " s");
  CHECK(taken.count() < 20);  // with a sanitizer on a busy machine; about a tenth of a second otherwise
}
