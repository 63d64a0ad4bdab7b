#include "tests/passes/check.h"

using namespace konv;
using namespace konv::test;

namespace {

/// The parts that exporters write activations with.
struct Parts : Bench {
  ValueId number(float value) { return graph.add_constant("c", make_f32({}, {&value, 1})); }
  ValueId f(ActivationKind kind, ValueId v, float alpha = 0, float beta = 0) { return graph.add("f", Unary{{kind, alpha, beta}}, {v}); }
  ValueId two(BinaryKind kind, ValueId a, ValueId b) { return graph.add("op", Binary{kind, {}}, {a, b}); }
  ValueId mul(ValueId a, ValueId b) { return two(BinaryKind::mul, a, b); }
  ValueId sum(ValueId a, ValueId b) { return two(BinaryKind::add, a, b); }
  ValueId div(ValueId a, ValueId b) { return two(BinaryKind::div, a, b); }
  ValueId relu6(ValueId v) { return f(ActivationKind::clip, sum(v, number(3)), 0, 6); }
};

template <class Build>
void becomes(ActivationKind kind, const Build& build) {
  CAPTURE(static_cast<int>(kind));
  Parts p;
  const ValueId x = p.relu("x'", p.x);
  p.output(p.relu("last", build(p, x)));
  check_fires(p.graph, "recognize-activations");
  REQUIRE(count_nodes(p.graph) == 3);
  CHECK(std::get<Unary>(p.graph.producer_as<Unary>(find_node(p.graph, "last").input(0))->op).function.kind == kind);
}

template <class Build>
void stays(const Build& build) {
  Parts p;
  p.output(build(p, p.relu("x'", p.x)));
  check_does_not_fire(p.graph, "recognize-activations");
}

}  // namespace

TEST_CASE("activations are recognized from their parts, in any order") {
  using A = ActivationKind;
  becomes(A::silu, [](Parts& p, ValueId x) { return p.mul(x, p.f(A::sigmoid, x)); });
  becomes(A::silu, [](Parts& p, ValueId x) { return p.mul(p.f(A::sigmoid, x), x); });
  becomes(A::hard_swish, [](Parts& p, ValueId x) { return p.mul(x, p.f(A::hard_sigmoid, x, 1.0f / 6, 0.5f)); });
  becomes(A::hard_swish, [](Parts& p, ValueId x) { return p.div(p.mul(x, p.relu6(x)), p.number(6)); });
  becomes(A::hard_swish, [](Parts& p, ValueId x) { return p.mul(x, p.div(p.relu6(x), p.number(6))); });
  becomes(A::hard_sigmoid, [](Parts& p, ValueId x) { return p.div(p.relu6(x), p.number(6)); });
  const auto erf = [](Parts& p, ValueId x) { return p.sum(p.f(A::erf, p.div(x, p.number(1.41421356f))), p.number(1)); };
  becomes(A::gelu, [&](Parts& p, ValueId x) { return p.mul(p.mul(x, erf(p, x)), p.number(0.5f)); });
  becomes(A::gelu, [&](Parts& p, ValueId x) { return p.mul(p.mul(x, p.number(0.5f)), erf(p, x)); });
  becomes(A::gelu_tanh, [](Parts& p, ValueId x) {
    const ValueId cube = p.mul(p.number(0.044715f), p.two(BinaryKind::pow, x, p.number(3)));
    const ValueId inner = p.f(A::tanh, p.mul(p.number(0.7978845608f), p.sum(x, cube)));
    return p.mul(p.mul(p.number(0.5f), x), p.sum(p.number(1), inner));
  });
  becomes(A::mish, [](Parts& p, ValueId x) { return p.mul(x, p.f(A::tanh, p.f(A::softplus, x))); });
  becomes(A::mish, [](Parts& p, ValueId x) { return p.mul(x, p.f(A::tanh, p.f(A::log, p.sum(p.f(A::exp, x), p.number(1))))); });
}

TEST_CASE("what only resembles an activation stays") {
  using A = ActivationKind;
  stays([](Parts& p, ValueId x) { return p.mul(p.f(A::neg, x), p.f(A::sigmoid, x)); });
  stays([](Parts& p, ValueId x) { return p.mul(p.number(2), p.f(A::sigmoid, x)); });
  stays([](Parts& p, ValueId x) { return p.mul(x, p.f(A::hard_sigmoid, x, 0.2f, 0.5f)); });
  stays([](Parts& p, ValueId x) { return p.div(p.mul(x, p.relu6(x)), p.number(5)); });
  stays([](Parts& p, ValueId x) { return p.mul(p.mul(x, p.number(0.5f)), p.sum(p.f(A::erf, x), p.number(1))); });
  stays([](Parts& p, ValueId x) { return p.mul(x, p.f(A::tanh, x)); });
  stays([](Parts& p, ValueId x) { return p.f(A::log, p.sum(p.f(A::exp, x), p.number(2))); });
  stays([](Parts& p, ValueId x) { return p.div(p.number(1), p.f(A::sigmoid, x)); });
}
