// remove-dead-nodes, remove-identity, fold-constants
#include "tests/passes/check.h"

using namespace konv;
using namespace konv::test;

TEST_CASE("nodes that nobody reads go, with what only they read") {
  Bench b;
  b.output(b.relu("used", b.x));
  b.relu("dead2", b.relu("dead1", b.relu("dead0", b.x)));
  CHECK(check_fires(b.graph, "remove-dead-nodes") == std::vector<std::string>{"removed dead0, dead1, dead2"});
  CHECK(count_nodes(b.graph) == 1);
  CHECK(b.graph.metadata.passes == std::vector<std::string>{"remove-dead-nodes"});
  check_does_not_fire(
      [] {
        Bench alive;
        alive.output(alive.relu("relu", alive.x));
        return alive.graph;
      }(),
      "remove-dead-nodes");
}

TEST_CASE("identities, casts to the own type and empty activations go") {
  Bench b;
  ValueId v = b.graph.add("identity", Identity{}, {b.x});
  v = b.graph.add("cast", Cast{DType::float32}, {v});
  v = b.graph.add("nothing", Unary{}, {v});
  b.output(b.relu("relu", v));
  CHECK(check_fires(b.graph, "remove-identity").size() == 3);
  CHECK(count_nodes(b.graph) == 1);
}

TEST_CASE("an identity at the end of a network hands its name on") {
  Bench b;
  b.output(b.graph.add("y", Identity{}, {b.relu("relu", b.x)}));
  check_fires(b.graph, "remove-identity");
  CHECK(count_nodes(b.graph) == 1);
  CHECK(b.graph.value(b.graph.outputs()[0]).name == "y");
}

TEST_CASE("identities that keep the interface stay") {
  Bench b;
  const ValueId relu = b.relu("relu", b.x);
  b.output(b.graph.add("copy of the input", Identity{}, {b.x}));
  b.output(relu);
  b.output(b.graph.add("copy of an output", Identity{}, {relu}));
  b.output(b.graph.add("a constant", Identity{}, {b.constant("c", {2})}));
  b.output(b.graph.add("another type", Cast{DType::int64}, {b.x}));
  check_does_not_fire(b.graph, "remove-identity");
}

TEST_CASE("a chain of constant nodes becomes one constant") {
  Bench b;
  const ValueId turned = b.graph.add("turn", Transpose{{1, 0, 2, 3}}, {b.constant("w", {4, 2, 1, 1})});
  const ValueId doubled = b.graph.add("double", Binary{}, {turned, turned});
  b.output(b.graph.add("conv", Conv{}, {b.x, doubled}));
  CHECK(check_fires(b.graph, "fold-constants") == std::vector<std::string>{"folded turn", "folded double"});
  CHECK(count_nodes(b.graph) == 1);
  REQUIRE(b.graph.constant(find_node(b.graph, "conv").input(Conv::kWeight)));
  CHECK(b.graph.value(find_node(b.graph, "conv").input(Conv::kWeight)).name == "double.folded");
}

TEST_CASE("shape arithmetic folds without an evaluator, even behind an unknown batch size") {
  Graph graph;
  const ValueId x = graph.add_input("x", DType::float32, {Dim::symbol("N"), 4, 7, 7});
  const ValueId shape = graph.add("shape", ShapeOf{}, {x});
  const ValueId one = graph.add_constant("one", make_i64({1}, Ints{1}));
  const ValueId channels = graph.add("channels", Gather{0}, {shape, one});
  const ValueId rest = graph.add_constant("rest", make_i64({2}, Ints{-1, 49}));
  const ValueId wanted = graph.add("wanted", Concat{0}, {channels, rest});
  graph.add_output(graph.add("reshape", Reshape{}, {x, wanted}));
  const Graph before = graph;
  const auto reports = passes::run(graph, passes::select("fold-constants"), {});
  REQUIRE(reports.size() == 1);
  CHECK(!reports[0].fired.empty());
  CHECK(count_nodes(graph) == 1);  // the batch size is not needed any more
  check_same_results(before, graph);
}

TEST_CASE("what would bloat the model, is an output, depends on inputs or is quantized stays") {
  SUBCASE("bloat") {
    Bench b;
    const ValueId size = b.graph.add_constant("size", make_i64({4}, Ints{1, 1, 512, 512}));
    const ValueId huge = b.graph.add("huge", ConstantOfShape{DType::float32, 1}, {size});
    b.output(b.graph.add("sum", Reduce{ReduceKind::sum}, {b.graph.add("relu", Unary{{ActivationKind::relu}}, {huge})}));
    check_does_not_fire(b.graph, "fold-constants");
  }
  SUBCASE("an output") {
    Bench b;
    b.output(b.relu("relu", b.constant("c", {3})));
    check_does_not_fire(b.graph, "fold-constants");
  }
  SUBCASE("an input") {
    Bench b;
    b.output(b.relu("relu", b.add("add", b.x, b.constant("c", {1}))));
    check_does_not_fire(b.graph, "fold-constants");
  }
  SUBCASE("no evaluator") {
    Bench b;
    b.output(b.add("add", b.x, b.relu("relu", b.constant("c", {1}))));
    const auto reports = passes::run(b.graph, passes::select("fold-constants"), {});
    CHECK(reports[0].fired.empty());
  }
  SUBCASE("an evaluator that cannot") {
    Bench b;
    b.output(b.add("add", b.x, b.relu("relu", b.constant("c", {1}))));
    const passes::Context context{.evaluate = [](const Graph&) -> std::vector<Tensor> { throw Error("no kernel"); }};
    const auto reports = passes::run(b.graph, passes::select("fold-constants"), context);
    CHECK(reports[0].fired.empty());
  }
}
