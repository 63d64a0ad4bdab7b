#include "converter/onnx/operators.h"

#include <algorithm>
#include <string_view>

namespace konv::converter {
namespace {

constexpr int kMany = 1 << 20;

// Sorted by name: find_operator searches by halves.
constexpr OperatorImporter kImporters[] = {
    {"Abs", import_function<ActivationKind::abs>, 1, 1},
    {"Add", import_binary<BinaryKind::add>, 2, 2},
    {"ArgMax", import_arg_max, 1, 1},
    {"AveragePool", import_average_pool, 1, 1},
    {"BatchNormalization", import_batch_normalization, 5, 5},
    {"Cast", import_cast, 1, 1},
    {"Clip", import_clip, 1, 3},
    {"Concat", import_concat, 1, kMany},
    {"Constant", import_constant, 0, 0},
    {"ConstantOfShape", import_constant_of_shape, 1, 1},
    {"Conv", import_conv, 2, 3},
    {"ConvInteger", import_conv_integer, 2, 4},
    {"ConvTranspose", import_conv_transpose, 2, 3},
    {"DepthToSpace", import_depth_to_space, 1, 1},
    {"DequantizeLinear", import_dequantize_linear, 2, 3},
    {"Div", import_binary<BinaryKind::div>, 2, 2},
    {"Dropout", import_dropout, 1, 3},
    {"DynamicQuantizeLinear", import_dynamic_quantize_linear, 1, 1},
    {"Elu", import_elu, 1, 1},
    {"Equal", import_binary<BinaryKind::equal>, 2, 2},
    {"Erf", import_function<ActivationKind::erf>, 1, 1},
    {"Exp", import_function<ActivationKind::exp>, 1, 1},
    {"Expand", import_expand, 2, 2},
    {"Flatten", import_flatten, 1, 1},
    {"Gather", import_gather, 2, 2},
    {"Gelu", import_gelu, 1, 1},
    {"Gemm", import_gemm, 2, 3},
    {"GlobalAveragePool", import_global_average_pool, 1, 1},
    {"GlobalMaxPool", import_global_max_pool, 1, 1},
    {"Greater", import_binary<BinaryKind::greater>, 2, 2},
    {"HardSigmoid", import_hard_sigmoid, 1, 1},
    {"HardSwish", import_function<ActivationKind::hard_swish>, 1, 1},
    {"Identity", import_identity, 1, 1},
    {"InstanceNormalization", import_instance_normalization, 3, 3},
    {"LRN", import_lrn, 1, 1},
    {"LayerNormalization", import_layer_normalization, 2, 3},
    {"LeakyRelu", import_leaky_relu, 1, 1},
    {"Less", import_binary<BinaryKind::less>, 2, 2},
    {"Log", import_function<ActivationKind::log>, 1, 1},
    {"LogSoftmax", import_log_softmax, 1, 1},
    {"LpPool", import_lp_pool, 1, 1},
    {"MatMul", import_mat_mul, 2, 2},
    {"MatMulInteger", import_mat_mul_integer, 2, 4},
    {"Max", import_fold<BinaryKind::max>, 1, kMany},
    {"MaxPool", import_max_pool, 1, 1},
    {"Mean", import_mean, 1, kMany},
    {"Min", import_fold<BinaryKind::min>, 1, kMany},
    {"Mish", import_function<ActivationKind::mish>, 1, 1},
    {"Mul", import_binary<BinaryKind::mul>, 2, 2},
    {"Neg", import_function<ActivationKind::neg>, 1, 1},
    {"PRelu", import_prelu, 2, 2},
    {"Pad", import_pad, 1, 4},
    {"Pow", import_pow, 2, 2},
    {"QLinearConv", import_q_linear_conv, 8, 9},
    {"QLinearMatMul", import_q_linear_mat_mul, 8, 8},
    {"QuantizeLinear", import_quantize_linear, 2, 3},
    {"Range", import_range, 3, 3},
    {"ReduceL1", import_reduce<ReduceKind::l1>, 1, 2},
    {"ReduceL2", import_reduce<ReduceKind::l2>, 1, 2},
    {"ReduceLogSum", import_reduce<ReduceKind::log_sum>, 1, 2},
    {"ReduceLogSumExp", import_reduce<ReduceKind::log_sum_exp>, 1, 2},
    {"ReduceMax", import_reduce<ReduceKind::max>, 1, 2},
    {"ReduceMean", import_reduce<ReduceKind::mean>, 1, 2},
    {"ReduceMin", import_reduce<ReduceKind::min>, 1, 2},
    {"ReduceProd", import_reduce<ReduceKind::prod>, 1, 2},
    {"ReduceSum", import_reduce<ReduceKind::sum, 13>, 1, 2},
    {"ReduceSumSquare", import_reduce<ReduceKind::sum_square>, 1, 2},
    {"Relu", import_function<ActivationKind::relu>, 1, 1},
    {"Reshape", import_reshape, 2, 2},
    {"Resize", import_resize, 1, 4},
    {"Selu", import_selu, 1, 1},
    {"Shape", import_shape, 1, 1},
    {"Sigmoid", import_function<ActivationKind::sigmoid>, 1, 1},
    {"Slice", import_slice, 1, 5},
    {"Softmax", import_softmax, 1, 1},
    {"Softplus", import_function<ActivationKind::softplus>, 1, 1},
    {"SpaceToDepth", import_space_to_depth, 1, 1},
    {"Split", import_split, 1, 2},
    {"Sqrt", import_function<ActivationKind::sqrt>, 1, 1},
    {"Squeeze", import_squeeze, 1, 2},
    {"Sub", import_binary<BinaryKind::sub>, 2, 2},
    {"Sum", import_fold<BinaryKind::add>, 1, kMany},
    {"Tanh", import_function<ActivationKind::tanh>, 1, 1},
    {"Tile", import_tile, 2, 2},
    {"TopK", import_top_k, 1, 2},
    {"Transpose", import_transpose, 1, 1},
    {"Unsqueeze", import_unsqueeze, 1, 2},
    {"Upsample", import_upsample, 1, 2},
    {"Where", import_where, 3, 3},
};

constexpr bool before(const OperatorImporter& a, std::string_view b) { return a.name < b; }

constexpr bool sorted() {
  for (std::size_t i = 1; i < std::size(kImporters); ++i) {
    if (!before(kImporters[i - 1], kImporters[i].name)) return false;
  }
  return true;
}
static_assert(sorted());

}  // namespace

std::span<const OperatorImporter> operator_importers() { return kImporters; }

const OperatorImporter* find_operator(std::string_view name) {
  const OperatorImporter* found = std::lower_bound(std::begin(kImporters), std::end(kImporters), name, before);
  return found != std::end(kImporters) && found->name == name ? found : nullptr;
}

}  // namespace konv::converter
