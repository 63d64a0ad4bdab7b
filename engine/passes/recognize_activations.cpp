// recognize-activations:  the parts that exporters write   =>   one function
//
//   x sigmoid(x)                                    =>  Silu
//   x HardSigmoid(x; 1/6, 1/2),  x Clip(x + 3, 0, 6) / 6   =>  HardSwish
//   Clip(x + 3, 0, 6) / 6                           =>  HardSigmoid(x; 1/6, 1/2)
//   x/2 (1 + erf(x / sqrt 2))                       =>  Gelu
//   x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))   =>  Gelu (tanh)
//   x tanh(softplus(x))                             =>  Mish
//   log(1 + exp(x))                                 =>  Softplus
//
// Products are seen as a set of factors, whatever their order, with all constant factors multiplied. Matches at the last node; the parts go when nobody
// else reads them.

#include <algorithm>
#include <cmath>

#include "engine/passes/list.h"
#include "engine/passes/match.h"

namespace konv::passes {

namespace {

constexpr int kDeepest = 8;  // products nested deeper are no activation

/// One number that stands for itself.
std::optional<double> number(const Graph& graph, ValueId id) {
  const Tensor* tensor = plain_weights(graph, id);
  if (!tensor || tensor->count() != 1) return {};
  return static_cast<double>(tensor->f32()[0]);
}

bool about(double x, double expected) { return std::fabs(x - expected) <= 1e-5 * std::fabs(expected); }

const Node* binary(const Graph& graph, ValueId id, BinaryKind kind) {
  const Node* node = graph.producer_as<Binary>(id);
  if (!node || !is_plain_float(graph, id)) return nullptr;
  const auto& op = std::get<Binary>(node->op);
  return op.kind == kind && op.activation.kind == ActivationKind::none ? node : nullptr;
}

/// The argument of the function `kind` that produces `id`, and the function.
struct Call {
  ValueId argument;
  Activation function;
};
std::optional<Call> call(const Graph& graph, ValueId id, ActivationKind kind) {
  const Node* node = graph.producer_as<Unary>(id);
  if (!node || !is_plain_float(graph, id) || std::get<Unary>(node->op).function.kind != kind) return {};
  return Call{node->input(0), std::get<Unary>(node->op).function};
}

/// constant times the factors.
struct Product {
  double constant = 1;
  std::vector<ValueId> factors;
};

void multiply(const Graph& graph, ValueId id, Product& product, int depth) {
  if (const std::optional<double> value = number(graph, id)) {
    product.constant *= *value;
    return;
  }
  const Node *mul = binary(graph, id, BinaryKind::mul), *div = binary(graph, id, BinaryKind::div);
  const Node* power = binary(graph, id, BinaryKind::pow);
  const std::optional<double> divisor = div ? number(graph, div->input(Binary::kB)) : std::nullopt;
  const double exponent = power ? number(graph, power->input(Binary::kB)).value_or(0) : 0;
  if (depth > 0 && mul) {
    multiply(graph, mul->input(Binary::kA), product, depth - 1);
    multiply(graph, mul->input(Binary::kB), product, depth - 1);
  } else if (depth > 0 && divisor) {
    multiply(graph, div->input(Binary::kA), product, depth - 1);
    product.constant /= *divisor;
  } else if (depth > 0 && (exponent == 2 || exponent == 3)) {
    for (int i = 0; i < static_cast<int>(exponent); ++i) multiply(graph, power->input(Binary::kA), product, depth - 1);
  } else {
    product.factors.push_back(id);
  }
}

Product product_of(const Graph& graph, ValueId id) {
  Product product;
  multiply(graph, id, product, kDeepest);
  return product;
}

/// constant + other.
struct Sum {
  double constant;
  ValueId other;
};
std::optional<Sum> sum_of(const Graph& graph, ValueId id) {
  const Node* add = binary(graph, id, BinaryKind::add);
  if (!add) return {};
  if (const auto value = number(graph, add->input(Binary::kA))) return Sum{*value, add->input(Binary::kB)};
  if (const auto value = number(graph, add->input(Binary::kB))) return Sum{*value, add->input(Binary::kA)};
  return {};
}

/// x of Clip(x + 3, 0, 6).
ValueId relu6_behind_3(const Graph& graph, ValueId id) {
  const std::optional<Call> clip = call(graph, id, ActivationKind::clip);
  if (!clip || clip->function.alpha != 0 || clip->function.beta != 6) return {};
  const std::optional<Sum> sum = sum_of(graph, clip->argument);
  return sum && sum->constant == 3 ? sum->other : ValueId{};
}

/// x of 1 + erf(x / sqrt 2).
ValueId erf_part(const Graph& graph, ValueId id) {
  const std::optional<Sum> sum = sum_of(graph, id);
  if (!sum || sum->constant != 1) return {};
  const std::optional<Call> erf = call(graph, sum->other, ActivationKind::erf);
  if (!erf) return {};
  const Product inner = product_of(graph, erf->argument);
  return inner.factors.size() == 1 && about(inner.constant, std::sqrt(0.5)) ? inner.factors[0] : ValueId{};
}

/// x of 1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)).
ValueId tanh_part(const Graph& graph, ValueId id) {
  const std::optional<Sum> sum = sum_of(graph, id);
  if (!sum || sum->constant != 1) return {};
  const std::optional<Call> tanh = call(graph, sum->other, ActivationKind::tanh);
  if (!tanh) return {};
  const Product inner = product_of(graph, tanh->argument);
  if (inner.factors.size() != 1 || !about(inner.constant, 0.79788456)) return {};
  const Node* add = binary(graph, inner.factors[0], BinaryKind::add);
  if (!add) return {};
  for (const int side : {Binary::kA, Binary::kB}) {
    const ValueId x = add->input(side);
    const Product cube = product_of(graph, add->input(side == Binary::kA ? Binary::kB : Binary::kA));
    const bool is_cube =
        cube.factors.size() == 3 && std::all_of(cube.factors.begin(), cube.factors.end(), [&](ValueId f) { return f == x; });
    if (is_cube && about(cube.constant, 0.044715)) return x;
  }
  return {};
}

/// constant x part(x), seen with x as either factor.
std::optional<Call> recognize(const Graph& graph, const Product& product) {
  if (product.factors.size() == 1) {
    const ValueId x = relu6_behind_3(graph, product.factors[0]);
    if (x && about(product.constant, 1.0 / 6)) return Call{x, {ActivationKind::hard_sigmoid, 1.0f / 6, 0.5f}};
    return {};
  }
  if (product.factors.size() != 2) return {};
  for (const int i : {0, 1}) {
    const ValueId x = product.factors[static_cast<std::size_t>(i)], part = product.factors[static_cast<std::size_t>(1 - i)];
    const auto sigmoid = call(graph, part, ActivationKind::sigmoid), hard = call(graph, part, ActivationKind::hard_sigmoid);
    const auto tanh = call(graph, part, ActivationKind::tanh);
    if (product.constant == 1) {
      if (sigmoid && sigmoid->argument == x) return Call{x, {ActivationKind::silu, 0, 0}};
      const bool sixth = hard && about(static_cast<double>(hard->function.alpha), 1.0 / 6) && hard->function.beta == 0.5f;
      if (sixth && hard->argument == x) return Call{x, {ActivationKind::hard_swish, 0, 0}};
      const auto softplus = tanh ? call(graph, tanh->argument, ActivationKind::softplus) : std::nullopt;
      if (softplus && softplus->argument == x) return Call{x, {ActivationKind::mish, 0, 0}};
    }
    if (about(product.constant, 1.0 / 6) && relu6_behind_3(graph, part) == x) return Call{x, {ActivationKind::hard_swish, 0, 0}};
    if (product.constant == 0.5 && erf_part(graph, part) == x) return Call{x, {ActivationKind::gelu, 0, 0}};
    if (product.constant == 0.5 && tanh_part(graph, part) == x) return Call{x, {ActivationKind::gelu_tanh, 0, 0}};
  }
  return {};
}

/// log(1 + exp(x))
std::optional<Call> recognize_softplus(const Graph& graph, ValueId id) {
  const std::optional<Call> log = call(graph, id, ActivationKind::log);
  const std::optional<Sum> sum = log ? sum_of(graph, log->argument) : std::nullopt;
  const std::optional<Call> exp = sum && sum->constant == 1 ? call(graph, sum->other, ActivationKind::exp) : std::nullopt;
  if (!exp) return {};
  return Call{exp->argument, {ActivationKind::softplus, 0, 0}};
}

}  // namespace

std::optional<Edit> recognize_activations(const Graph& graph, NodeId id, const Context&) {
  const ValueId result = graph.node(id).output();
  if (!is_plain_float(graph, result)) return {};  // quantized, or not float32
  const bool product = binary(graph, result, BinaryKind::mul) || binary(graph, result, BinaryKind::div);
  const std::optional<Call> found = product ? recognize(graph, product_of(graph, result)) : recognize_softplus(graph, result);
  if (!found || !is_plain_float(graph, found->argument)) return {};
  if (!certainly_equal(graph.value(found->argument).shape, graph.value(result).shape)) return {};  // a constant may have broadcast it
  Edit edit(graph);
  edit.replace(id, Unary{found->function}, {found->argument});
  return edit;
}

}  // namespace konv::passes
