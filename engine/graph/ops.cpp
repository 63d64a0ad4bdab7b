#include "engine/graph/ops.h"

#include <array>
#include <cstddef>

namespace konv {
namespace {

const char* function_name(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::none: return "Identity";
    case ActivationKind::relu: return "Relu";
    case ActivationKind::leaky_relu: return "LeakyRelu";
    case ActivationKind::clip: return "Clip";
    case ActivationKind::sigmoid: return "Sigmoid";
    case ActivationKind::hard_sigmoid: return "HardSigmoid";
    case ActivationKind::hard_swish: return "HardSwish";
    case ActivationKind::tanh: return "Tanh";
    case ActivationKind::silu: return "Silu";
  }
  return "Unary";
}

const char* display(const Unary& op) { return function_name(op.function.kind); }

const char* display(const Binary& op) {
  switch (op.kind) {
    case BinaryKind::add: return "Add";
    case BinaryKind::sub: return "Sub";
    case BinaryKind::mul: return "Mul";
    case BinaryKind::div: return "Div";
  }
  return "Binary";
}

const char* display(const Pool& op) { return op.kind == PoolKind::max ? "MaxPool" : "AveragePool"; }

const char* display(const Reduce& op) {
  switch (op.kind) {
    case ReduceKind::mean: return "ReduceMean";
    case ReduceKind::sum: return "ReduceSum";
    case ReduceKind::max: return "ReduceMax";
    case ReduceKind::min: return "ReduceMin";
  }
  return "Reduce";
}

const char* display(const BatchNorm&) { return "BatchNormalization"; }
const char* display(const ShapeOf&) { return "Shape"; }

template <class T>
const char* display(const T&) {
  return nullptr;
}

}  // namespace

const char* op_name(const Op& op) {
#define KONV_NAME(type, text) text,
  static constexpr std::array kNames = {KONV_OPS(KONV_NAME)};
#undef KONV_NAME
  static_assert(kNames.size() == std::variant_size_v<Op>, "KONV_OPS and Op list different operators");
  return kNames[op.index()];
}

std::string display_name(const Op& op) {
  const char* special = std::visit([](const auto& o) { return display(o); }, op);
  return special ? special : op_name(op);
}

}  // namespace konv
