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
    case ActivationKind::elu: return "Elu";
    case ActivationKind::selu: return "Selu";
    case ActivationKind::softplus: return "Softplus";
    case ActivationKind::gelu:
    case ActivationKind::gelu_tanh: return "Gelu";
    case ActivationKind::mish: return "Mish";
    case ActivationKind::erf: return "Erf";
    case ActivationKind::sqrt: return "Sqrt";
    case ActivationKind::exp: return "Exp";
    case ActivationKind::log: return "Log";
    case ActivationKind::abs: return "Abs";
    case ActivationKind::neg: return "Neg";
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
    case BinaryKind::pow: return "Pow";
    case BinaryKind::min: return "Min";
    case BinaryKind::max: return "Max";
    case BinaryKind::prelu: return "PRelu";
    case BinaryKind::equal: return "Equal";
    case BinaryKind::less: return "Less";
    case BinaryKind::greater: return "Greater";
  }
  return "Binary";
}

const char* display(const Pool& op) {
  switch (op.kind) {
    case PoolKind::max: return "MaxPool";
    case PoolKind::average: return "AveragePool";
    case PoolKind::lp: return "LpPool";
    case PoolKind::max_index: return "MaxPoolIndices";
  }
  return "Pool";
}

const char* display(const Softmax& op) { return op.log ? "LogSoftmax" : "Softmax"; }

const char* display(const Reduce& op) {
  switch (op.kind) {
    case ReduceKind::mean: return "ReduceMean";
    case ReduceKind::sum: return "ReduceSum";
    case ReduceKind::max: return "ReduceMax";
    case ReduceKind::min: return "ReduceMin";
    case ReduceKind::prod: return "ReduceProd";
    case ReduceKind::l1: return "ReduceL1";
    case ReduceKind::l2: return "ReduceL2";
    case ReduceKind::log_sum: return "ReduceLogSum";
    case ReduceKind::log_sum_exp: return "ReduceLogSumExp";
    case ReduceKind::sum_square: return "ReduceSumSquare";
  }
  return "Reduce";
}

const char* display(const BatchNorm&) { return "BatchNormalization"; }
const char* display(const ShapeOf&) { return "Shape"; }
const char* display(const LayerNorm&) { return "LayerNormalization"; }
const char* display(const InstanceNorm&) { return "InstanceNormalization"; }
const char* display(const Lrn&) { return "LRN"; }
const char* display(const Arange&) { return "Range"; }
const char* display(const Quantize&) { return "QuantizeLinear"; }
const char* display(const Dequantize&) { return "DequantizeLinear"; }

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
