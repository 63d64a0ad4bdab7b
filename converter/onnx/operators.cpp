#include "converter/onnx/operators.h"

#include <algorithm>
#include <string_view>

namespace konv::converter {
namespace {

constexpr int kMany = 1 << 20;

// Sorted by name: find_operator searches by halves.
constexpr OperatorImporter kImporters[] = {
    {"Add", import_add, 2, 2},
    {"AveragePool", import_average_pool, 1, 1},
    {"BatchNormalization", import_batch_normalization, 5, 5},
    {"Cast", import_cast, 1, 1},
    {"Clip", import_clip, 1, 3},
    {"Concat", import_concat, 1, kMany},
    {"Constant", import_constant, 0, 0},
    {"ConstantOfShape", import_constant_of_shape, 1, 1},
    {"Conv", import_conv, 2, 3},
    {"ConvTranspose", import_conv_transpose, 2, 3},
    {"Div", import_div, 2, 2},
    {"Dropout", import_dropout, 1, 3},
    {"Expand", import_expand, 2, 2},
    {"Flatten", import_flatten, 1, 1},
    {"Gather", import_gather, 2, 2},
    {"Gemm", import_gemm, 2, 3},
    {"GlobalAveragePool", import_global_average_pool, 1, 1},
    {"GlobalMaxPool", import_global_max_pool, 1, 1},
    {"HardSigmoid", import_hard_sigmoid, 1, 1},
    {"HardSwish", import_hard_swish, 1, 1},
    {"Identity", import_identity, 1, 1},
    {"LeakyRelu", import_leaky_relu, 1, 1},
    {"MatMul", import_mat_mul, 2, 2},
    {"MaxPool", import_max_pool, 1, 1},
    {"Mul", import_mul, 2, 2},
    {"Pad", import_pad, 1, 4},
    {"ReduceMax", import_reduce_max, 1, 2},
    {"ReduceMean", import_reduce_mean, 1, 2},
    {"ReduceMin", import_reduce_min, 1, 2},
    {"ReduceSum", import_reduce_sum, 1, 2},
    {"Relu", import_relu, 1, 1},
    {"Reshape", import_reshape, 2, 2},
    {"Shape", import_shape, 1, 1},
    {"Sigmoid", import_sigmoid, 1, 1},
    {"Slice", import_slice, 1, 5},
    {"Softmax", import_softmax, 1, 1},
    {"Squeeze", import_squeeze, 1, 2},
    {"Sub", import_sub, 2, 2},
    {"Tanh", import_tanh, 1, 1},
    {"Transpose", import_transpose, 1, 1},
    {"Unsqueeze", import_unsqueeze, 1, 2},
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
