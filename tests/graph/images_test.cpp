// has_independent_images(): which batches may be computed in parts.
#include <doctest/doctest.h>

#include "engine/graph/images.h"
#include "tests/graph/build.h"

using namespace konv;
using namespace konv::test;

namespace {

/// x [N, 4, 6, 6] -> op -> output; `more` adds the operands behind x.
template <class More>
bool independent(Op op, More more) {
  Graph graph;
  std::vector<ValueId> inputs{graph.add_input("x", DType::float32, {sym("N"), 4, 6, 6})};
  for (ValueId id : more(graph)) inputs.push_back(id);
  graph.add_output(graph.add("n", std::move(op), inputs));
  return has_independent_images(graph);
}

bool independent(Op op) {
  return independent(std::move(op), [](Graph&) { return std::vector<ValueId>{}; });
}

}  // namespace

TEST_CASE("images are independent where every node keeps them apart") {
  CHECK(has_independent_images(SmallNet().graph));
  CHECK(independent(Unary{{ActivationKind::relu}}));
  CHECK(independent(Flatten{1}));
  CHECK(independent(Softmax{.axis = 1}));
  CHECK(independent(Reduce{.axes = {2, 3}}));
  CHECK(independent(Transpose{{0, 2, 3, 1}}));
  CHECK(independent(Binary{}, [](Graph& g) { return std::vector{weights(g, "c", {1, 4, 1, 1})}; }));
  CHECK(independent(Reshape{}, [](Graph& g) { return std::vector{ints(g, "shape", {0, -1})}; }));
  CHECK(independent(Slice{}, [](Graph& g) { return std::vector{ints(g, "starts", {1}), ints(g, "ends", {3}), ints(g, "axes", {2})}; }));
}

TEST_CASE("images are not independent, or not known to be") {
  CHECK_FALSE(independent(Softmax{.axis = 0}));
  CHECK_FALSE(independent(Softmax{.axis = -4}));
  CHECK_FALSE(independent(Reduce{.axes = {0}}));
  CHECK_FALSE(independent(Transpose{}));
  CHECK_FALSE(independent(Flatten{0}));
  CHECK_FALSE(independent(Pool{.kind = PoolKind::max_index, .kernel = {2, 2}}));
  CHECK_FALSE(independent(Reshape{}, [](Graph& g) { return std::vector{ints(g, "shape", {-1, 6})}; }));
  CHECK_FALSE(independent(Slice{}, [](Graph& g) {
    return std::vector{ints(g, "starts", {0}), ints(g, "ends", {6}), ints(g, "axes", {0})};
  }));
  CHECK_FALSE(independent(Slice{}, [](Graph& g) { return std::vector{ints(g, "starts", {0}), ints(g, "ends", {6})}; }));

  Graph twice;  // a weight of one number per image
  const ValueId x = twice.add_input("x", DType::float32, {sym("N"), 4});
  twice.add_output(twice.add("n", Binary{}, {x, weights(twice, "c", {3, 4})}));
  CHECK_FALSE(has_independent_images(twice));

  Graph known;
  known.add_output(known.add("n", Unary{{ActivationKind::relu}}, {known.add_input("x", DType::float32, {8, 4})}));
  CHECK_FALSE(has_independent_images(known));

  Graph two;  // sizes that only happen to be equal
  const ValueId a = two.add_input("a", DType::float32, {sym("N"), 4}), b = two.add_input("b", DType::float32, {sym("M"), 4});
  two.add_output(two.add("na", Unary{{ActivationKind::relu}}, {a}));
  two.add_output(two.add("nb", Unary{{ActivationKind::relu}}, {b}));
  CHECK_FALSE(has_independent_images(two));
}
